"""Pods of nodes on one segment and on two reach each other with their own addresses, in both families."""

import asyncio
import json
from pathlib import Path

import pytest

from apimachinery.cache.lister import Lister
from nodeagent.proxy.cleanup import clean_up
from nodeagent.routes.plan import Mode, tunnel_mac
from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace
from tests.netns.cni.pod_network import Make, Node, Segments, node_object

# Node → (segment, last part of its addresses, pod subnets). near shares a segment with here; far does not.
LAYOUT = {
    "here": (0, 1, ["10.244.1.0/24", "fd00:244:1::/64"]),
    "near": (0, 2, ["10.244.2.0/24", "fd00:244:2::/64"]),
    "far": (1, 3, ["10.244.3.0/24", "fd00:244:3::/64"]),
}


class Cluster:
    def __init__(self, make: Make, directory: Path, mode: Mode, families: tuple[int, ...]) -> None:
        self.make, self.listed, self.nodes, self.pods = make, Lister(), dict[str, Node](), dict[str, Namespace]()
        segments = Segments(make)
        for name, (segment, last, cidrs) in LAYOUT.items():
            machine, held = segments.plug(name, segment, last)
            self.listed.put(node_object(name, [held[family] for family in families], cidrs))
            self.nodes[name] = Node(name, machine, self.listed, directory, mode)

    def reconcile(self) -> None:
        for node in self.nodes.values():
            node.reconcile()

    def start_pod(self, plugins: Plugins, name: str) -> Namespace:
        node, pod = self.nodes[name], self.make(f"pod-{name}")
        result = node.call(plugins, "ADD", json.loads(node.conflist.read_text()), pod)
        cidrs = LAYOUT[name][2]
        assert [ip["address"] for ip in result["ips"]] == [f"{cidrs[0][:-4]}2/24", f"{cidrs[1][:-3]}2/64"]
        self.pods[name] = pod
        return pod

    def meet(self, one: str, other: str) -> None:
        """The pod on `one` asks that on `other`, which sees it with its own address."""
        for host, seen, any_address in (
            (f"10.244.{LAYOUT[other][1]}.2", f"10.244.{LAYOUT[one][1]}.2", "0.0.0.0"),
            (f"fd00:244:{LAYOUT[other][1]}::2", f"fd00:244:{LAYOUT[one][1]}::2", "::"),
        ):
            words = f"{other} " + "x" * 100_000  # more than fits one packet, whatever the MTU
            server = self.pods[other].serve(words, 8080, any_address)
            try:
                assert self.pods[one].ask(host, 8080) == f"{words} from {seen}"
            finally:
                server.close()


@pytest.fixture(
    params=[(Mode.AUTO, (4, 6)), (Mode.AUTO, (4,)), (Mode.VXLAN, (6,))], ids=["auto", "auto-v4", "vxlan-v6"]
)
def cluster(request: pytest.FixtureRequest, make: Make, tmp_path: Path) -> Cluster:
    """By mode and the families of the nodes' own addresses."""
    made = Cluster(make, tmp_path, *request.param)
    made.reconcile()
    return made


def test_pods_of_all_nodes_reach_each_other(cluster: Cluster, ours: Plugins) -> None:
    for name in LAYOUT:
        cluster.start_pod(ours, name)
    for one, other in (("here", "near"), ("here", "far"), ("far", "near")):
        cluster.meet(one, other)


@pytest.fixture
def auto(make: Make, tmp_path: Path) -> Cluster:
    made = Cluster(make, tmp_path, Mode.AUTO, (4,))
    made.reconcile()
    return made


def test_only_who_needs_it_uses_a_tunnel(make: Make, tmp_path: Path, ours: Plugins) -> None:
    cluster = Cluster(make, tmp_path, Mode.AUTO, (4, 6))
    cluster.reconcile()
    here = cluster.nodes["here"].machine
    ways = {route["dst"]: route["dev"] for route in here.json("ip", "-j", "route", "show", "proto", "76")}
    assert ways == {"10.244.2.0/24": "eth0", "10.244.3.0/24": "kubelab-vxlan"}
    ways = {route["dst"]: route["dev"] for route in here.json("ip", "-6", "-j", "route", "show", "proto", "76")}
    assert ways == {"fd00:244:2::/64": "eth0", "fd00:244:3::/64": "kubelab-vxlan"}
    pod = cluster.start_pod(ours, "here")
    assert pod.json("ip", "-j", "link", "show", "eth0")[0]["mtu"] == 1450
    [link] = here.json("ip", "-j", "-d", "link", "show", "kubelab-vxlan")
    assert (link["address"], link["mtu"], link["linkinfo"]["info_data"]["port"]) == (tunnel_mac("here"), 1450, 8472)


@pytest.mark.parametrize(
    "damage",
    [
        "ip link del kubelab-vxlan",
        "ip link set kubelab-vxlan down",
        "ip address flush dev kubelab-vxlan",
        "ip neigh flush dev kubelab-vxlan nud permanent",
        "bridge fdb del {mac} dev kubelab-vxlan self",
        "bridge fdb replace {mac} dev kubelab-vxlan self dst 192.0.2.77",
        "ip route flush proto 76",
        "ip -6 route flush proto 76",
        "ip link set kubelab-vxlan mtu 600",
        "ip link set kubelab-vxlan address 02:00:00:00:00:01",
    ],
)
def test_what_was_damaged_is_repaired_by_the_next_look(auto: Cluster, damage: str) -> None:
    here = auto.nodes["here"]
    before = _state(here.machine)
    here.machine.run(*damage.format(mac=tunnel_mac("far")).split())
    assert _state(here.machine) != before
    here.reconcile()
    assert _state(here.machine) == before


def test_a_node_that_leaves_leaves_nothing(auto: Cluster, ours: Plugins) -> None:
    far, here = auto.nodes["far"], auto.nodes["here"]
    auto.start_pod(ours, "far")
    auto.listed.remove("far")
    auto.reconcile()
    assert here.ours() == {"routes": ["10.244.2.0/24", "fd00:244:2::/64"], "tunnels": ["kubelab-vxlan"]}
    assert "10.244.3" not in _state(here.machine)
    assert far.ours() == {"routes": [], "tunnels": []}
    config = json.loads(far.conflist.read_text())  # there, for the pod's network must be taken down yet
    far.call(ours, "DEL", config, auto.pods["far"])
    far.reconcile()
    assert not far.conflist.exists()


def test_cleanup_removes_routes_tunnel_and_configuration(auto: Cluster) -> None:
    here = auto.nodes["here"]
    assert here.ours()["tunnels"] == ["kubelab-vxlan"]
    here.machine.inside(lambda: asyncio.run(clean_up(here.conflist.parent, "/nonexistent")))
    assert here.ours() == {"routes": [], "tunnels": []}
    assert not here.conflist.exists()


def test_a_foreign_interface_of_that_name_is_left_alone(auto: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    here = auto.nodes["here"]
    here.machine.run("ip", "link", "del", "kubelab-vxlan")
    here.machine.run("ip", "link", "add", "kubelab-vxlan", "type", "bridge")
    here.reconcile()
    assert "cannot keep the tunnel to other segments: kubelab-vxlan is not a VXLAN interface" in caplog.text
    [link] = here.machine.json("ip", "-j", "-d", "link", "show", "kubelab-vxlan")
    assert link["linkinfo"]["info_kind"] == "bridge"


def _state(machine: Namespace) -> str:
    """All that the pod network is made of, without numbers of interfaces and in an order of its own."""
    device = ("dev", "kubelab-vxlan")
    addresses = [ip for link in machine.json("ip", "-j", "address", "show") for ip in link.get("addr_info", [])]
    shown = [f"{ip['local']}/{ip['prefixlen']}" for ip in addresses if ip["scope"] == "global"]
    for command in (
        ("ip", "-4", "route", "show", "proto", "76"),
        ("ip", "-6", "route", "show", "proto", "76"),
        ("ip", "neigh", "show", *device, "nud", "permanent"),
        ("bridge", "fdb", "show", *device),
    ):
        shown += sorted(machine.run(*command, check=False).splitlines())
    links = machine.json("ip", "-j", "link", "show", "type", "vxlan")
    shown += [f"{link['ifname']} {link['address']} {link['mtu']} {'UP' in link['flags']}" for link in links]
    return "\n".join(line.strip() for line in shown)
