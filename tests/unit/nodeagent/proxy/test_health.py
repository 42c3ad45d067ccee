"""What load balancers are told of the node."""

import asyncio
import socket
from typing import Any

import aiohttp
import pytest

from apimachinery.cache.lister import Lister
from apimachinery.kit.clock import ManualClock
from nodeagent.proxy.health import DELETION_TAINT, Eligibility, Healthz, ServiceHealth
from nodeagent.proxy.iptables.rules import IptablesRules
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.proxier import SLICES_OF_SERVICE, Proxier
from tests.unit.nodeagent.proxy.test_ruleset import Model

TAINTED = {"metadata": {"name": "node-1"}, "spec": {"taints": [{"key": DELETION_TAINT, "effect": "NoSchedule"}]}}
DELETED = {"metadata": {"name": "node-1", "deletionTimestamp": "2024-01-01T00:00:00Z"}}
PLAIN = {"metadata": {"name": "node-1"}, "spec": {"taints": [{"key": "other", "effect": "NoSchedule"}]}}


@pytest.mark.parametrize(
    ("seen", "eligible"),
    [([], True), ([PLAIN], True), ([TAINTED], False), ([DELETED], False), ([TAINTED, PLAIN], True)],
)
def test_a_node_on_its_way_out_gets_no_new_traffic(seen: list[dict[str, Any]], eligible: bool) -> None:
    eligibility = Eligibility()
    for node in seen:
        eligibility.seen(node)
    assert eligibility() is eligible


def proxier(clock: ManualClock, services: Lister | None = None) -> Proxier:
    slices, services = Lister(), services or Lister()
    slices.add_index(SLICES_OF_SERVICE, lambda _: ())
    return Proxier("node-1", services, slices, IptablesRules(Model(), Settings()), 4, NodeView(), clock, lambda _: 0)


async def test_all_is_well_until_a_change_has_waited_for_too_long() -> None:
    clock = ManualClock()
    one = proxier(clock)
    healthz = Healthz([one], clock, 60.0, lambda: True)
    await clock.advance(1000)
    assert healthz.healthy()  # the API is away: there is nothing to be behind of
    healthz.queued()
    await clock.advance(59)
    assert healthz.healthy()
    await clock.advance(2)
    assert not healthz.healthy()
    await one.sync()
    assert healthz.healthy()


async def test_a_change_after_one_that_was_written_waits_for_itself() -> None:
    clock = ManualClock()
    one = proxier(clock)
    healthz = Healthz([one], clock, 60.0, lambda: True)
    healthz.queued()
    await one.sync()
    await clock.advance(1000)
    healthz.queued()  # nobody has asked since the first
    assert healthz.healthy()
    await clock.advance(60)
    assert not healthz.healthy()


async def test_what_is_well_is_up_to_date() -> None:
    clock, stop, eligible = ManualClock(), asyncio.Event(), [True]
    healthz = Healthz([proxier(clock)], clock, 60.0, lambda: eligible[0])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = asyncio.ensure_future(healthz.serve("127.0.0.1", port, stop))
    await clock.advance(0)
    healthz.queued()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for seconds, tainted, path, status in (
            (30, False, "/healthz", 200), (0, True, "/healthz", 503), (0, True, "/livez", 200),
            (40, False, "/livez", 503),
        ):  # fmt: skip
            await clock.advance(seconds)
            eligible[0] = not tainted
            async with session.get(path) as response:
                said = await response.json()
            assert (response.status, said.get("nodeEligible")) == (status, None if path == "/livez" else not tainted)
            assert (said["lastUpdated"] == said["currentTime"]) is (status == 200)
        async with session.post("/healthz") as response:
            text = await response.text()
        assert text == (
            '{"lastUpdated": "2025-01-01 00:00:00 +0000 UTC m=+0.000000000",'
            '"currentTime": "2025-01-01 00:01:10 +0000 UTC m=+70.000000000", "nodeEligible": true}'
        )
    stop.set()
    await serving


async def test_a_service_health_check_answers_whoever_asks_in_upstreams_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    services = Lister()
    services.put(
        {
            "metadata": {"namespace": "ns1", "name": "svc1"},
            "spec": {
                "type": "LoadBalancer", "clusterIP": "172.30.0.41", "externalTrafficPolicy": "Local",
                "healthCheckNodePort": port, "ports": [{"name": "p80", "port": 80, "nodePort": 3001}],
            },
        }
    )  # fmt: skip
    one = proxier(ManualClock(), services)
    await one.sync()
    health = ServiceHealth(lambda: True, lambda *_: None)
    await health.serve(one)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session, session.post("/any") as response:
        text = await response.text()
    assert response.status == 503 and response.headers["X-Load-Balancing-Endpoint-Weight"] == "0"
    assert text == (
        '{\n\t"service": {\n\t\t"namespace": "ns1",\n\t\t"name": "svc1"\n\t},'
        '\n\t"localEndpoints": 0,\n\t"serviceProxyHealthy": true\n}'
    )
    await health.close()
