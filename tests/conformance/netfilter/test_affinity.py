"""How long a client keeps its endpoint (sessionAffinity: ClientIP)."""

import asyncio
import time

from tests.conformance.netfilter.cluster import Cluster
from tests.netns.cni.namespaces import eventually


async def test_a_client_keeps_its_endpoint_as_long_as_was_said(cluster: Cluster) -> None:
    await keeps_its_endpoint(cluster, "10.96.0.50")


async def keeps_its_endpoint(cluster: Cluster, vip: str) -> None:
    pods = [cluster.nodes[0].pod(name) for name in ("a", "b", "c")]
    clients = [cluster.nodes[1].pod(f"client{number}") for number in range(3)]
    seconds = {"clientIP": {"timeoutSeconds": 600}}
    spec = {"clusterIP": vip, "sessionAffinity": "ClientIP"}
    await cluster.service("web", pods, sessionAffinityConfig=seconds, **spec)
    for client in clients:
        assert len({client.ask(vip, 80) for _ in range(10)}) == 1
    await cluster.service("web", pods, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 1}}, **spec)
    seen = set[str]()

    def another() -> bool:
        time.sleep(1.5)  # longer than it is kept
        seen.add(clients[0].ask(vip, 80))
        return len(seen) > 1

    await asyncio.to_thread(eventually, "another endpoint", another)
