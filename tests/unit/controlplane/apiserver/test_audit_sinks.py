"""Audit events on their way: gathered, sent, cut, and what requests wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import Clock, ManualClock, SystemClock
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta.status import ApiError
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.audit.log import LogFile
from controlplane.apiserver.audit.options import Batching, Delivery
from controlplane.apiserver.audit.policy import build
from controlplane.apiserver.audit.sinks import Buffer, LogSink, Outlet, WebhookSink, event_list, truncated
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.front.request_info import parse
from controlplane.apiserver.remote import Remote

HEAD = {"kind": "Event", "apiVersion": "audit.k8s.io/v1"}


def errors(plugin: str) -> float:
    return REGISTRY.get_sample_value("apiserver_audit_error_total", {"plugin": plugin}) or 0.0


class Kept:
    """A sink that keeps what it is given, group by group, when it is let."""

    name = "kept"

    def __init__(self) -> None:
        self.groups, self.closed = list[list[bytes]](), False
        self.let = asyncio.Event()
        self.let.set()

    async def keep(self, events: Sequence[bytes]) -> bool:
        self.groups.append(list(events))
        await self.let.wait()
        return True

    async def close(self) -> None:
        self.closed = True


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_events_go_when_they_are_enough_or_have_waited() -> None:
    clock, kept = ManualClock(), Kept()
    buffer = Buffer(kept, Batching(size=3, wait=30.0), clock, beside=True)
    for number in range(7):
        buffer.put(b"%d" % number)
    await settle()
    assert kept.groups == [[b"0", b"1", b"2"], [b"3", b"4", b"5"]]
    await clock.advance(29)
    await settle()
    assert len(kept.groups) == 2
    await clock.advance(1)
    await settle()
    assert kept.groups[2:] == [[b"6"]]
    buffer.put(b"7")
    await buffer.close()
    assert kept.groups[3:] == [[b"7"]] and kept.closed, "what waits is given away at the end"
    before = errors("buffered")
    buffer.put(b"8")
    assert errors("buffered") == before + 1 and len(kept.groups) == 4


async def test_groups_are_throttled() -> None:
    clock, kept = ManualClock(), Kept()
    buffer = Buffer(kept, Batching(size=1, qps=2.0, burst=2), clock, beside=True)
    for number in range(5):
        buffer.put(b"%d" % number)
    await settle()
    assert len(kept.groups) == 2
    for count in (3, 4, 5):
        await clock.advance(0.5)
        await settle()
        assert len(kept.groups) == count
    await buffer.close()


async def test_what_finds_no_room_is_lost() -> None:
    kept, before = Kept(), errors("buffered")
    kept.let.clear()
    buffer = Buffer(kept, Batching(buffer=2), SystemClock(), beside=False)
    buffer.put(b"0")
    await settle()
    for number in range(1, 5):
        buffer.put(b"%d" % number)
    await settle()
    assert kept.groups == [[b"0"]], "one after the other"
    assert errors("buffered") == before + 2
    closing = asyncio.create_task(buffer.close())
    await settle()
    assert not closing.done()
    kept.let.set()
    await closing
    assert kept.groups == [[b"0"], [b"1"], [b"2"]]


async def test_the_end_waits_for_what_is_under_way() -> None:
    kept = Kept()
    kept.let.clear()
    buffer = Buffer(kept, Batching(size=2, wait=30.0), ManualClock(), beside=True)
    for number in range(5):
        buffer.put(b"%d" % number)
    closing = asyncio.create_task(buffer.close())
    await settle()
    assert kept.groups == [[b"0", b"1"], [b"2", b"3"], [b"4"]] and not closing.done()
    kept.let.set()
    await closing


def test_a_list_of_events() -> None:
    events = [orjson.dumps({**HEAD, "level": "Metadata", "auditID": each}) for each in "ab"]
    assert orjson.loads(event_list(events)) == {
        "kind": "EventList",
        "apiVersion": "audit.k8s.io/v1",
        "metadata": {},
        "items": [{"level": "Metadata", "auditID": "a"}, {"level": "Metadata", "auditID": "b"}],
    }


def test_an_event_that_is_too_long_loses_its_objects() -> None:
    event: dict[str, Any] = {**HEAD, "level": "Request", "requestObject": "x" * 500, "annotations": {"b": "1"}}
    cut = truncated(event, 400)
    assert cut is not None
    assert orjson.loads(cut) == {
        **HEAD, "level": "Request", "annotations": {"audit.k8s.io/truncated": "true", "b": "1"}
    }  # fmt: skip
    assert event["annotations"] == {"b": "1"}, "other outlets want it whole"
    assert truncated(event, len(cut)) is None and truncated(event, len(cut) + 1) == cut
    assert truncated({**event, "level": "Metadata"}, 400) is None


@asynccontextmanager
async def receiving(*codes: int) -> AsyncIterator[tuple[ClientConfig, list[Any]]]:
    """A webhook that answers with these codes and then with 200, and what it was sent."""
    sent: list[Any] = []
    left = list(codes)

    async def answer(request: web.BaseRequest) -> web.Response:
        sent.append(orjson.loads(await request.read()))
        return web.Response(status=left.pop(0) if left else 200)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield ClientConfig(f"http://{host}:{port}/audit"), sent
    await runner.cleanup()


def sink(client: ClientConfig) -> WebhookSink:
    return WebhookSink(Remote(client, SystemClock(), pause=0.001, again=lambda error: True))


async def test_whatever_fails_is_sent_again_but_not_for_ever() -> None:
    event, before = orjson.dumps({**HEAD, "auditID": "a"}), errors("webhook")
    async with receiving(400, 302, 500) as (client, sent):
        webhook = sink(client)
        assert await webhook.keep([event]) and len(sent) == 4 and errors("webhook") == before
        await webhook.close()
    async with receiving(*[503] * 5) as (client, sent):
        webhook = sink(client)
        assert not await webhook.keep([event, event])
        assert len(sent) == 5 and errors("webhook") == before + 2
        await webhook.close()


def auditor(clock: Clock, *outlets: Outlet) -> Auditor:
    return Auditor(build({"rules": [{"level": "Metadata"}]}), outlets, clock)


async def admitted(found: Auditor) -> None:
    request = make_mocked_request("GET", "/api/v1/pods")
    info, user = parse("GET", "/api/v1/pods", {}), User("jane")
    trail = found.begin(request, info, user, Attributes(user, "list", "", "v1", "pods"))
    assert trail is not None
    await found.admit(request, trail)


@pytest.mark.parametrize(("mode", "refused"), [("blocking", False), ("blocking-strict", True), ("batch", False)])
async def test_what_a_request_needs(tmp_path: Path, mode: str, refused: bool) -> None:
    """The log is full, or the webhook refuses."""
    clock = SystemClock()
    full = Outlet(LogSink(LogFile("/dev/full", clock, max_bytes=1 << 30)), Delivery(mode), clock)
    async with receiving(*[500] * 5) as (client, _):
        refusing = Outlet(sink(client), Delivery(mode), clock)
        for outlet, plugin in ((full, "log"), (refusing, "webhook")):
            before, found = errors(plugin), auditor(clock, outlet)
            rejected = REGISTRY.get_sample_value("apiserver_audit_requests_rejected_total") or 0.0
            if refused:
                with pytest.raises(ApiError, match="failed to store audit event"):
                    await admitted(found)
            else:
                await admitted(found)
            await found.close()
            assert errors(plugin) == before + 1
            now = REGISTRY.get_sample_value("apiserver_audit_requests_rejected_total") or 0.0
            assert now - rejected == (1 if refused else 0)


async def test_both_get_every_event(tmp_path: Path) -> None:
    clock, file = SystemClock(), tmp_path / "audit.log"
    async with receiving() as (client, sent):
        log = Outlet(LogSink(LogFile(str(file), clock, max_bytes=1 << 20)), Delivery("blocking"), clock)
        found = auditor(clock, log, Outlet(sink(client), Delivery("blocking"), clock))
        await admitted(found)
        (line,) = file.read_bytes().splitlines()
        event = orjson.loads(line)
        assert [{**HEAD, **each} for each in sent[0]["items"]] == [event] and event["stage"] == "RequestReceived"
        await found.close()
