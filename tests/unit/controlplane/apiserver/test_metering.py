"""What /metrics says of requests, over a real front."""

import asyncio
import ssl

import aiohttp
from aiohttp import web

from apimachinery.kit.metrics import REGISTRY
from controlplane.apiserver.authn import remarks
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front.metering import Highest
from controlplane.apiserver.front.request_info import RequestInfo
from tests.unit.controlplane.apiserver import fronts
from tests.unit.controlplane.apiserver.fronts import contexts as contexts

PATH = "/api/v1/namespaces/default/secrets"
ABOUT = {"group": "", "version": "v1", "resource": "secrets", "subresource": "", "scope": "namespace"}


def told(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"apiserver_{metric}", {**ABOUT, "component": "apiserver", **labels}) or 0.0


async def test_what_webhooks_and_queues_took_is_not_the_servers(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async def route(*_: object) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        remarks.current().waited += 0.1
        remarks.current().validated = 0.05
        return web.Response(text="fine")

    async with fronts.serving(contexts[0], route=route) as port, aiohttp.ClientSession() as session:
        whole, own = (f"request_{which}duration_seconds_sum" for which in ("", "sli_"))
        before = told(whole, verb="LIST", dry_run=""), told(own, verb="LIST")
        assert (await session.get(f"https://127.0.0.1:{port}{PATH}", ssl=contexts[1])).status == 200
        took = told(whole, verb="LIST", dry_run="") - before[0]
        assert abs(took - (told(own, verb="LIST") - before[1]) - 0.15) < 1e-6 and took >= 0.2


async def test_a_watch_is_timed_as_well(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with fronts.serving(contexts[0]) as port, aiohttp.ClientSession() as session:
        counted = "request_duration_seconds_count"
        before = told(counted, verb="WATCH", dry_run="")
        await session.get(f"https://127.0.0.1:{port}{PATH}?watch=1", ssl=contexts[1])
        assert told(counted, verb="WATCH", dry_run="") == before + 1


async def test_paths_of_health_are_nobodys_and_methods_few(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    none = {"group": "", "version": "", "resource": "", "scope": ""}
    livez, other = {**none, "subresource": "/livez", "component": ""}, {**none, "subresource": ""}

    def counted() -> list[float]:
        return [
            told("request_total", verb="GET", dry_run="", code="200", **livez),
            told("request_total", verb="other", dry_run="", code="200", **other),
        ]

    async with fronts.serving(contexts[0]) as port, aiohttp.ClientSession() as session:
        before = counted()
        for method, path in (("GET", "/livez"), ("HEAD", "/livez"), ("OPTIONS", "/version")):
            await session.request(method, f"https://127.0.0.1:{port}{path}", ssl=contexts[1])
        assert [now - was for now, was in zip(counted(), before, strict=True)] == [2, 1]


async def test_a_request_that_is_given_up_is_a_termination(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def route(_: web.BaseRequest, __: RequestInfo, ___: User) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with fronts.serving(contexts[0], route=route) as port, aiohttp.ClientSession() as session:
        before = told("request_terminations_total", verb="LIST", code="504")
        answer = await session.get(f"https://127.0.0.1:{port}{PATH}?timeout=10ms", ssl=contexts[1])
        assert answer.status == 504
        assert told("request_terminations_total", verb="LIST", code="504") == before + 1


def test_in_flight_is_the_most_of_the_last_second() -> None:
    now = 0.0
    kind = Highest(lambda: now)
    for _ in range(3):
        kind.inc()
    for _ in range(2):
        kind.dec()
    assert kind.read() == 3, "a scrape sees more than itself"
    now = 1.5
    assert kind.read() == 3
    now = 2.6
    assert kind.read() == 1
    kind.dec()
    now = 60.0
    assert kind.read() == 0
