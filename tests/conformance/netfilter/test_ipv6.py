"""What Services do by IPv6, where the two families' rules, tracking and sockets are not the same code."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodeagent.proxy.health import ServiceHealth
from tests.conformance.netfilter.cluster import IPV6, Cluster, Node
from tests.conformance.netfilter.test_affinity import keeps_its_endpoint
from tests.conformance.netfilter.test_services import udp_follows
from tests.netns.cni.namespaces import WAIT

VIP, BALANCER = "fd00:10:96::50", "2001:db8:1::7"


@pytest.fixture(params=["iptables-nft", "nftables"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, request.param, IPV6)
    yield made
    made.close()


async def test_a_client_keeps_its_endpoint_as_long_as_was_said(cluster: Cluster) -> None:
    await keeps_its_endpoint(cluster, VIP)


async def test_udp_follows_its_endpoints_on_the_same_port(cluster: Cluster) -> None:
    await udp_follows(cluster, VIP)


async def test_external_traffic_policy_local_and_its_health_check(cluster: Cluster) -> None:
    one, two = cluster.nodes
    pod, client = one.pod("one"), two.pod("client")
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
    await cluster.service("web", [pod], clusterIP=VIP, nodePort=30080, **spec)
    assert cluster.outside.ask(one.ip, 30080) == f"one from {IPV6.outside()}"
    with pytest.raises(TimeoutError):
        cluster.outside.ask(two.ip, 30080, timeout=1)
    # Pods and the node itself are served as if the traffic had gone out and come back.
    assert client.ask(two.ip, 30080).startswith("one from ")
    assert two.namespace.ask(two.ip, 30080).startswith("one from ")
    for node, code, body in ((one, "200", '"localEndpoints": 1'), (two, "503", '"localEndpoints": 0')):
        async with health_checks(node):
            url = f"http://[{node.ip}]:31000/healthz"
            answer = await asyncio.to_thread(cluster.outside.run, "curl", "-gs", "-w", "%{http_code}", url)
        assert answer.endswith(code) and body in answer


async def test_a_load_balancers_source_ranges(cluster: Cluster) -> None:
    one = cluster.nodes[0].pod("one")
    cluster.outside.run("ip", "-6", "route", "add", BALANCER, "via", cluster.nodes[1].ip)
    spec = {"clusterIP": VIP, "type": "LoadBalancer"}
    status = {"loadBalancer": {"ingress": [{"ip": BALANCER}]}}
    await cluster.service("web", [one], status=status, **spec)
    assert cluster.outside.ask(BALANCER, 80).startswith("one from ")
    await cluster.service("web", [one], status=status, loadBalancerSourceRanges=["2001:db8:2::/48"], **spec)
    with pytest.raises(TimeoutError):
        cluster.outside.ask(BALANCER, 80, timeout=1)
    await cluster.service("web", [one], status=status, loadBalancerSourceRanges=["2001:db8::/64"], **spec)
    assert cluster.outside.ask(BALANCER, 80).startswith("one from ")
    with pytest.raises(ConnectionRefusedError):
        await cluster.service("web", [], status=status, **spec)
        cluster.nodes[0].namespace.ask(VIP, 80)


@asynccontextmanager
async def health_checks(node: Node) -> AsyncIterator[None]:
    """The servers of the node's healthCheckNodePorts, on a thread that is in its namespace."""
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        health = ServiceHealth(lambda: True, lambda *_: None)
        await health.serve(node.proxier)
        ready.set()
        await asyncio.to_thread(stop.wait, WAIT)
        await health.close()

    serving = asyncio.ensure_future(asyncio.to_thread(node.namespace.inside, lambda: asyncio.run(serve())))
    try:
        assert await asyncio.to_thread(ready.wait, WAIT)
        yield
    finally:
        stop.set()
        await serving
