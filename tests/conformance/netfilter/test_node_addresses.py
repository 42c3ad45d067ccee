"""Which of the node's own addresses node ports answer on (kube-proxy's --nodeport-addresses)."""

import pytest

from apimachinery.kit.clock import SystemClock
from nodeagent.proxy.iptables.rules import IptablesRules
from nodeagent.proxy.nftables.rules import NftablesRules
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.services import Endpoint, ServicePort
from tests.conformance.netfilter.cluster import PORT, Cluster
from tests.conformance.netfilter.modes import NftablesMode

CHOSEN, OTHER, NODE_PORT = "192.0.2.22", "192.0.2.2", 30080


async def test_node_ports_answer_on_the_chosen_addresses_alone(cluster: Cluster) -> None:
    one, node = cluster.nodes[0].pod("one"), cluster.nodes[1]
    node.namespace.run("ip", "address", "add", f"{CHOSEN}/24", "dev", "up0")
    port = ServicePort("default/web", "default", "web", "", "tcp", "10.96.0.50", 80, node_port=NODE_PORT)
    ports = {"default/web": [(port, [Endpoint(one.ip, PORT, True, True, False, False)])]}
    settings = Settings()
    if isinstance(node.mode, NftablesMode):
        rules: NftablesRules | IptablesRules = NftablesRules(node.mode, settings, SystemClock())
    else:
        rules = IptablesRules(node.mode, settings)
    view = NodeView(cluster_cidr="10.244.0.0/16", node_ip=OTHER, chosen_addresses=(CHOSEN,))
    await rules.write(ports, set(ports), view)
    assert cluster.outside.ask(CHOSEN, NODE_PORT).startswith("one from ")
    assert node.namespace.ask(CHOSEN, NODE_PORT).startswith("one from ")
    for asking in (cluster.outside, node.namespace):
        with pytest.raises(ConnectionRefusedError):
            asking.ask(OTHER, NODE_PORT)
