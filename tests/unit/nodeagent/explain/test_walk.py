"""A packet and its answer over two nodes, in what the suites with real kernels do not plant."""

from dataclasses import replace

import pytest

from nodeagent.explain.choices import Chooser
from nodeagent.explain.iptables_rules import parse_saved
from nodeagent.explain.packet import Outcome, Packet
from nodeagent.explain.snapshot import Address, Host, Link, NodeSnapshot, parse_flows
from nodeagent.explain.walk import Start, Walk
from nodeagent.explain.world import Site, World

VIP, A, B, C = "10.96.0.50", "10.244.1.2", "10.244.2.2", "10.244.1.3"
RULES = [{"priority": 0, "table": "local"}, {"priority": 32766, "table": "main"}]
NAT = f"""\
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d {VIP}/32 -p udp -m udp --dport 53 -j DNAT --to-destination {B}:5353
-A PREROUTING -d {VIP}/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination {C}:8080
COMMIT
"""


def pod(ip: str, number: int, mtu: int = 1500) -> Host:
    gateway = ip.rpartition(".")[0]
    routes = [
        {"dst": "default", "gateway": f"{gateway}.1", "dev": "eth0"},
        {"dst": f"{gateway}.0/24", "dev": "eth0"},
        {"type": "local", "dst": ip, "dev": "eth0", "table": "local"},
    ]
    listeners = frozenset((protocol, "0.0.0.0", port) for protocol, port in (("tcp", 8080), ("udp", 5353)))
    link = Link(2, "eth0", True, True, mtu, f"02:00:00:00:00:{number:02x}", "veth", peer=10 + number)
    return Host(
        f"pod {ip}", f"ns{number}", number, {"eth0": link}, [Address("eth0", ip, 24)], routes, RULES,
        listeners=listeners,
    )  # fmt: skip


def node(number: int, pods: list[Host], uplink: str = "") -> NodeSnapshot:
    """uplink: a VXLAN interface to the other node, instead of a wire that they share."""
    other = 3 - number
    mine, theirs, ip = f"10.244.{number}", f"10.244.{other}", f"192.0.2.{number}"
    links = {
        "cni0": Link(3, "cni0", True, True, 1500, f"0a:00:00:00:00:0{number}", "bridge"),
        "up0": Link(4, "up0", True, True, 1500, f"0e:00:00:00:00:0{number}", "veth"),
    }
    for one in pods:
        name = f"veth{one.netns_id}"
        links[name] = Link(
            10 + (one.netns_id or 0), name, True, True, 1500, "", "veth", "cni0", 2, one.netns_id, True, "forwarding"
        )
    via = {"gateway": f"{theirs}.0", "dev": uplink} if uplink else {"gateway": f"192.0.2.{other}", "dev": "up0"}
    routes = [
        {"dst": "default", "gateway": "192.0.2.9", "dev": "up0"},
        {"dst": f"{mine}.0/24", "dev": "cni0"},
        {"dst": f"{theirs}.0/24", **via},
        {"dst": "192.0.2.0/24", "dev": "up0"},
        *({"type": "local", "dst": one, "dev": "up0", "table": "local"} for one in (ip, f"{mine}.1")),
    ]
    host = Host(
        f"node n{number}", links=links, addresses=[Address("up0", ip, 24), Address("cni0", f"{mine}.1", 24)],
        routes=routes, rules=RULES, tables=parse_saved(NAT), sysctls={"net.bridge.bridge-nf-call-iptables": "1"},
    )  # fmt: skip
    if uplink:
        links[uplink] = Link(5, uplink, True, True, 1450, f"06:00:00:00:00:0{number}", "vxlan", tunnel=(ip, 8472))
        host.neighbours[uplink, f"{theirs}.0"] = (f"06:00:00:00:00:0{other}", "PERMANENT")
        host.fdb.append({"mac": f"06:00:00:00:00:0{other}", "dst": f"192.0.2.{other}"})
    attached = [(one.netns_id or 0, one.netns, (one.addresses[0].ip,)) for one in pods]
    return NodeSnapshot(f"n{number}", host, pods, attached, {})


@pytest.fixture
def world() -> World:
    nodes = {"n1": node(1, [pod(A, 1), pod(C, 2)]), "n2": node(2, [pod(B, 1)])}
    return World(
        nodes,
        pod_names={A: "default/a", B: "default/b", C: "default/c"},
        service_names={VIP: "default/web"},
        backends=frozenset((B, C)),
        node_addresses={"n1": "192.0.2.1", "n2": "192.0.2.2"},
    )


def ask(world: World, packet: Packet) -> Outcome:
    one = world.nodes["n1"]
    return Walk(world, Start(packet, Site(one, one.pods[0])), Chooser()).run()


def udp(**said: object) -> Packet:
    return replace(Packet(A, VIP, "udp", 53), **said)


def found(outcome: Outcome) -> list[str]:
    return [one.kind for one in outcome.findings]


def test_there_and_back(world: World) -> None:
    outcome = ask(world, udp())
    assert (outcome.verdict, outcome.backend, outcome.seen_as, found(outcome)) == ("answers", f"{B}:5353", A, [])
    assert [step.host for step in outcome.steps if step.what.startswith("answer:")] == [f"pod {B}"]


def test_a_pod_of_the_same_bridge_answers_past_translation_when_bridges_do_not_ask_the_rules(world: World) -> None:
    packet = Packet(A, VIP, "tcp", 80)
    assert ask(world, packet).verdict == "answers"
    world.nodes["n1"].host.sysctls = {"net.bridge.bridge-nf-call-iptables": "0"}
    outcome = ask(world, packet)
    assert (outcome.verdict, found(outcome)) == ("dropped", ["bridge-netfilter"])
    assert f"the answer comes from {C}" in outcome.why


def test_a_full_table_of_connections(world: World) -> None:
    counts = {"net.netfilter.nf_conntrack_max": "10", "net.netfilter.nf_conntrack_count": "10"}
    world.nodes["n1"].host.sysctls = {**world.nodes["n1"].host.sysctls, **counts}
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("dropped", ["conntrack"])
    assert "table full" in outcome.why


def test_an_old_entry_that_leads_to_nobody(world: World) -> None:
    asked, answered = f"src={A} dst={VIP} sport=4000 dport=53", f"src=10.244.2.9 dst={A} sport=5353 dport=4000"
    line = f"ipv4 2 udp 17 25 {asked} [UNREPLIED] {answered}"
    world.nodes["n1"].host.flows = parse_flows(line)
    assert (ask(world, udp()).verdict, found(ask(world, udp()))) == ("answers", ["conntrack"])
    # A client that keeps its port meets the entry.
    outcome = ask(world, udp(sport=4000))
    assert (outcome.verdict, outcome.why) == ("unreachable", "nobody on cni0 of node n2 has 10.244.2.9")


def test_through_a_tunnel(world: World) -> None:
    world.nodes = {"n1": node(1, [pod(A, 1, 1450)], "vx0"), "n2": node(2, [pod(B, 1, 1450)], "vx0")}
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("answers", [])
    world.nodes["n1"].host.fdb.clear()
    assert (ask(world, udp()).verdict, found(ask(world, udp()))) == ("dropped", ["tunnel"])


def test_what_carries_a_tunnels_packets_has_routes_rules_and_a_size_of_its_own(world: World) -> None:
    world.nodes = {"n1": node(1, [pod(A, 1, 1450)], "vx0"), "n2": node(2, [pod(B, 1, 1450)], "vx0")}
    one, two = world.nodes["n1"].host, world.nodes["n2"].host
    one.links["up0"] = replace(one.links["up0"], mtu=1400)
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("answers", ["mtu"])
    assert "up0 lets 1400 bytes through, the sender sends up to 1500" in outcome.findings[0].what

    two.tables = parse_saved("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp -m udp --dport 8472 -j REJECT\nCOMMIT\n")
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("dropped", ["mtu", "drop"])  # nobody tells the pod of the refusal
    assert outcome.why.startswith("VXLAN (UDP 8472) does not reach n2: refused on node n2 by")

    # By a router: no node, and taken to pass it on; but n2 is on a network of n1's own.
    one.routes = [route for route in one.routes if route["dst"] != "192.0.2.0/24"]
    two.tables = {}
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("answers", ["mtu", "route"])
    assert any("by the router 192.0.2.9" in step.what for step in outcome.steps)
    one.neighbours["up0", "192.0.2.9"] = ("", "FAILED")
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("dropped", ["mtu", "route", "neighbour"])


def test_pods_larger_than_the_tunnel_are_told(world: World) -> None:
    world.nodes = {"n1": node(1, [pod(A, 1)], "vx0"), "n2": node(2, [pod(B, 1)], "vx0")}
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("answers", ["mtu"])


def test_another_machine_has_the_nodes_address(world: World) -> None:
    world.nodes["n1"].host.neighbours["up0", "192.0.2.2"] = ("0e:00:00:00:00:77", "REACHABLE")
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("dropped", ["duplicate-address"])


@pytest.mark.parametrize(("accepted", "verdict"), [("1", "dropped"), ("0", "answers"), ("2", "answers")])
def test_a_way_back_by_another_interface(world: World, accepted: str, verdict: str) -> None:
    """Only strict rp_filter minds (RFC 3704)."""
    two = world.nodes["n2"].host
    two.sysctls = {**two.sysctls, "net/ipv4/conf/up0/rp_filter": accepted}
    two.links["up1"] = replace(two.links["up0"], name="up1", index=6)
    two.routes = [{**route, "dev": "up1"} if route["dst"] == "10.244.1.0/24" else route for route in two.routes]
    outcome = ask(world, udp())
    assert (outcome.verdict, "rp-filter" in found(outcome)) == (verdict, accepted == "1")


def test_a_node_that_could_not_be_read(world: World) -> None:
    del world.nodes["n2"]
    world.unread = {"n2": "no answer"}
    assert ask(world, udp()).verdict == "unknown"


def test_a_route_in_circles(world: World) -> None:
    world.nodes["n2"].host.routes = [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "up0"},
        {"type": "local", "dst": "192.0.2.2", "dev": "up0", "table": "local"},
    ]
    assert ask(world, udp()).why == "the packet goes round in circles"


def test_a_bridge_that_filters_vlans(world: World) -> None:
    """A frame comes in by its port's own VLAN, and leaves by ports that are in it."""
    host = world.nodes["n1"].host
    host.links["cni0"] = replace(host.links["cni0"], vlans=True)
    own = {1: frozenset(("PVID", "Egress Untagged"))}
    packet = Packet(A, C, "tcp", 8080)
    host.members = {"cni0": own, "veth1": own, "veth2": own}
    assert ask(world, packet).verdict == "answers"
    host.members = {"cni0": own, "veth1": own, "veth2": {7: own[1]}}
    outcome = ask(world, packet)
    assert (outcome.verdict, found(outcome)) == ("dropped", ["bridge-port"])
    assert "the frame is in VLAN 1 of cni0, and veth2 is not in it" in outcome.why
    assert outcome.findings[0].mend.startswith("bridge vlan add dev veth2 vid 1 pvid untagged")
    host.members = {"cni0": own, "veth1": {1: frozenset(("Egress Untagged",))}, "veth2": own}
    assert "veth1 has none for what comes without a tag" in ask(world, packet).why


def test_the_other_end_of_a_tunnel_is_of_another_network(world: World) -> None:
    world.nodes = {"n1": node(1, [pod(A, 1, 1450)], "vx0"), "n2": node(2, [pod(B, 1, 1450)], "vx0")}
    links = world.nodes["n2"].host.links
    links["vx0"] = replace(links["vx0"], network=7)
    outcome = ask(world, udp())
    assert (outcome.verdict, found(outcome)) == ("dropped", ["tunnel"])
    assert "VNI 0 at UDP port 8472 and VNI 7 at UDP port 8472" in outcome.why


def test_a_wrong_entry_of_the_bridge_lasts_until_the_next_frame_unless_it_is_sticky(world: World) -> None:
    host = world.nodes["n1"].host
    entry = {"mac": "02:00:00:00:00:02", "ifname": "veth1", "master": "cni0", "flags": [], "state": "static"}
    host.fdb = [entry]
    outcome = ask(world, Packet(A, C, "tcp", 8080))
    assert (outcome.verdict, found(outcome)) == ("answers", ["bridge-port"])
    host.fdb = [{**entry, "flags": ["sticky"]}]
    assert ask(world, Packet(A, C, "tcp", 8080)).verdict == "dropped"
