"""SCTP, which this suite's kernels may have no sockets for: they take the rules of Services with everything."""

import pytest

from nodeagent.proxy.node import NodeView
from nodeagent.proxy.services import Endpoint, ServicePort
from tests.conformance.netfilter.cluster import Cluster
from tests.conformance.netfilter.modes import MODES

VIEW = NodeView(cluster_cidr="10.244.0.0/16", node_ip="192.0.2.1", pod_cidr="10.244.1.0/24")


def signalling(name: str, number: int, **said: object) -> ServicePort:
    shared = {"node_port": 30000 + number, "external_ips": (f"203.0.113.{number}",), "sticky_seconds": 30, **said}
    ip = f"10.96.0.{number}"
    return ServicePort(f"default/{name}", "default", name, "", "sctp", ip, 38412, **shared)


@pytest.mark.parametrize("cluster", MODES, indirect=True)
async def test_the_kernel_takes_the_rules_of_sctp(cluster: Cluster) -> None:
    behind = [Endpoint(f"10.244.1.{number}", 38412, True, True, False, True) for number in (2, 3)]
    balancer = {"balancer_ips": ("203.0.113.9",), "source_ranges": ("198.51.100.0/24",)}
    ports = {
        "default/open": [(signalling("open", 1), behind)],
        "default/near": [(signalling("near", 2, external_local=True, health_check_port=32000, **balancer), behind)],
        "default/none": [(signalling("none", 3), [])],
    }
    mode = cluster.nodes[0].mode
    await mode.backend.write(ports, set(ports), VIEW)
    assert await mode.backend.is_whole()
    ports["default/open"] = [(signalling("open", 1), behind[:1])]
    await mode.backend.write(ports, {"default/open"}, VIEW)
    assert await mode.backend.is_whole()
    rules = "\n".join(mode.rules())
    assert all(address in rules for address in ("10.244.1.2:38412", "203.0.113.1", "203.0.113.9", "10.96.0.3"))
