"""What is written down of requests that end unusually."""

import ssl
from typing import Any

import aiohttp
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
from controlplane.apiserver.authz.attributes import Attributes, Decision, EvaluationError
from controlplane.apiserver.front.request_info import RequestInfo
from tests.unit.controlplane.apiserver import fronts
from tests.unit.controlplane.apiserver.fronts import contexts as contexts


class Lines:
    """In the place of a file."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def close(self) -> None:
        """Nothing is open."""

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


class Undecided:
    """An authorizer that cannot tell."""

    async def authorize(self, _: Attributes) -> tuple[Decision, str]:
        raise EvaluationError("the webhook is away")


async def test_what_nobody_could_decide(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = contexts
    lines = Lines()
    async with (
        fronts.serving(server, authorizer=Undecided(), auditor=auditor(lines)) as port,
        aiohttp.ClientSession() as session,
    ):
        answer = await session.get(f"https://127.0.0.1:{port}/version", ssl=client)
        assert answer.status == 500
    assert [event["annotations"] for event in lines.events] == [{"authorization.k8s.io/reason": "internal error"}]
