"""What is written down of requests that end unusually."""

from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from apimachinery.kit.clock import SystemClock
from apimachinery.meta import status
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.audit.options import BLOCKING, Delivery
from controlplane.apiserver.audit.policy import build
from controlplane.apiserver.audit.sinks import LogSink, Outlet
from controlplane.apiserver.authn.user import ANONYMOUS, NOBODY
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.front.request_info import RequestInfo


class Lines:
    """In the place of a file."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def write(self, line: bytes) -> None:
        self.events.append(orjson.loads(line))


def auditor(lines: Any, **rule: Any) -> Auditor:
    clock = SystemClock()
    policy = build({"rules": [{"level": "Metadata", "omitStages": ["RequestReceived"], **rule}]})
    return Auditor(policy, [Outlet(LogSink(lines), Delivery(BLOCKING), clock)], clock)


@pytest.mark.parametrize(
    ("header", "path", "certificate", "told"),
    [
        ("Bearer x", "/", False, "attempted: bearer"),
        ("Basic ZXZlOng=", "/?access_token=x", False, "attempted: basic, access_token"),
        ("bearer x", "/", True, "attempted: bearer, x509"),
        ("Basic !", "/", True, "attempted: x509"),
        ("Bearer", "/?access_token=", False, "no credentials provided"),
        ("", "/", False, "no credentials provided"),
    ],
)
async def test_how_somebody_meant_to_be_known(header: str, path: str, certificate: bool, told: str) -> None:
    lines, request = Lines(), make_mocked_request("GET", path, {"Authorization": header})
    info, asked = RequestInfo(path="/", verb="get"), Attributes(NOBODY, "get", path="/")
    await auditor(lines).unidentified(request, info, asked, status.unauthorized(), certificate=certificate)
    (event,) = lines.events
    assert event["responseStatus"]["message"] == f"Authentication failed, {told}"


@pytest.mark.parametrize("long", [False, True])
async def test_a_client_that_leaves_before_it_is_answered(long: bool) -> None:
    lines, request = Lines(), make_mocked_request("GET", "/")
    info = RequestInfo(path="/", verb="watch" if long else "get")
    trail = auditor(lines).begin(request, info, ANONYMOUS, Attributes(ANONYMOUS, "get", path="/"))
    assert trail is not None
    trail.completed(None)
    closed = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
    stages = ["ResponseStarted", "ResponseComplete"] if long else ["ResponseComplete"]
    assert [(event["stage"], event["responseStatus"]) for event in lines.events] == [(each, closed) for each in stages]


async def test_a_client_that_leaves_a_watch_was_answered() -> None:
    lines, request = Lines(), make_mocked_request("GET", "/")
    info = RequestInfo(path="/", verb="watch")
    trail = auditor(lines).begin(request, info, ANONYMOUS, Attributes(ANONYMOUS, "watch", path="/"))
    assert trail is not None
    trail.started(200)
    trail.completed(None)
    assert [event["responseStatus"] for event in lines.events] == [{"metadata": {}, "code": 200}] * 2


async def test_a_table_is_written_without_its_managed_fields() -> None:
    lines, request = Lines(), make_mocked_request("GET", "/api/v1/pods")
    info = RequestInfo(path="/api/v1/pods", verb="list", is_resource=True, version="v1", resource="pods")
    asked = Attributes(ANONYMOUS, "list", "", "v1", "pods")
    rule = {"level": "RequestResponse", "omitManagedFields": True}
    trail = auditor(lines, **rule).begin(request, info, ANONYMOUS, asked)
    assert trail is not None
    meta = {"name": "a", "managedFields": [{"manager": "me"}]}
    rows = [{"cells": ["a"], "object": {"kind": "PartialObjectMetadata", "metadata": meta}}, {"cells": ["b"]}]
    trail.completed(web.json_response({"kind": "Table", "rows": rows}))
    assert lines.events[-1]["responseObject"]["rows"] == [
        {"cells": ["a"], "object": {"kind": "PartialObjectMetadata", "metadata": {"name": "a"}}},
        {"cells": ["b"]},
    ]


async def test_the_first_event_is_of_the_moment_when_the_request_came() -> None:
    lines, request = Lines(), make_mocked_request("GET", "/")
    info, asked = RequestInfo(path="/", verb="get"), Attributes(ANONYMOUS, "get", path="/")
    auditor(lines, omitStages=[]).begin(request, info, ANONYMOUS, asked)
    (event,) = lines.events
    assert event["stage"] == "RequestReceived" and event["stageTimestamp"] == event["requestReceivedTimestamp"]
