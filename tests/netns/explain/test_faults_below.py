"""What lies below routes and rules: tunnel and what carries it, bridge, neighbours, traffic control, policy routing.

One fault after the other is planted in a kernel; each is found, and the verdict is what really happens.
"""

import contextlib
from collections.abc import Iterator

import pytest

from tests.netns.cni.namespaces import Namespace
from tests.netns.explain.conftest import Lab, rules, soon
from tests.netns.explain.test_other_ways import agrees
from tests.netns.explain.test_planted_faults import Fault, command, duplicate, judge, port_of

TUNNEL = "kubelab-vxlan"
NOBODY, STRANGER = "192.0.2.77", "02:00:00:00:00:99"
FAST, SLOW = 16_000_000, 8_000_000  # bits a second
LIMITS = {"ingressRate": FAST, "ingressBurst": 65536 * 8, "egressRate": SLOW, "egressBurst": 65536 * 8}


@pytest.mark.parametrize("lab", ["iptables --pod-network=vxlan"], indirect=True)
async def test_through_the_tunnel_which_is_repaired_within_ten_seconds_and_whose_faults_are_found(lab: Lab) -> None:
    one = lab.world.nodes[0]
    web = await lab.service("web", "b1")
    await lab.pod("slow", "default", one, bandwidth=LIMITS)
    a1, b1 = lab["a1"], lab["b1"]
    for node in lab.world.nodes:
        # All of them are looked at for what is missing, also who is not on the way.
        await soon(f"rules of {node.name}", lambda node=node: f"{b1.ip}:" in rules(node))
    await soon("the Service", lambda: a1.ask(web, 80)[0] == "answers")
    for to in ((b1.ip, 81), (web, 80)):
        report = await agrees(lab, "a1", *to)
        assert not report.findings and "in VXLAN to node-2 (192.0.2.2)" in [
            step.what for step in report.outcomes[0].steps
        ]

    # kube-proxy runs: what is taken away comes back. Ten seconds are the promise, the rest is for a busy machine.
    for damage in (
        f"ip neigh flush dev {TUNNEL} nud permanent",
        f"ip route flush dev {TUNNEL} proto 76",
        f"ip link del {TUNNEL}",
    ):
        one.namespace.run(*damage.split())
        await soon(f"an answer after {damage}", lambda: a1.ask(b1.ip, 81)[0] == "answers")
        await soon(f"an answer to the other side after {damage}", lambda: b1.ask(a1.ip, 81)[0] == "answers")

    # From here on nothing is repaired.
    for node in lab.world.nodes:
        assert node.process is not None
        node.process.stop()
    await shapes(lab)
    faults = [*below_the_tunnel(lab), *on_the_bridge(lab), *by_traffic_control(lab), *by_routing(lab), *at_the_end(lab)]
    wrong = [words for fault in faults for words in await judge(lab, fault)]
    assert not wrong, "\n\n".join(wrong)


async def shapes(lab: Lab) -> None:
    """A pod with limits: both are on the way, with their rates."""
    report = await agrees(lab, "a2", lab["slow"].ip, 81)
    told = [step for step in report.outcomes[0].steps if step.what.startswith("[tc]")]
    assert any("tbf, 16 Mbit/s" in step.what and "dropped" in step.counters for step in told), told
    assert any("leads it through bwp" in step.what for step in told), told
    assert any("tbf, 8 Mbit/s" in step.what for step in told), told
    assert any("(the pod's own addresses): lets it pass" in step.what for step in told), told


def mac(inside: Namespace, link: str = "eth0") -> str:
    (body,) = inside.json("ip", "-j", "link", "show", link)
    return str(body["address"])


@contextlib.contextmanager
def wide(lab: Lab) -> Iterator[None]:
    """Pods and tunnel as large as what carries them, on both sides."""
    one, two = lab.world.nodes
    with contextlib.ExitStack() as undone:
        for name, node in (("a1", one), ("b1", two)):
            port = port_of(lab[name].inside, node.namespace)
            for inside, link in ((node.namespace, TUNNEL), (node.namespace, port), (lab[name].inside, "eth0")):
                words = f"ip link set {link} mtu "
                undone.enter_context(command(inside, f"{words}1500", f"{words}1450"))
        yield


def below_the_tunnel(lab: Lab) -> list[Fault]:
    here, there = (node.namespace for node in lab.world.nodes)
    far, b1 = mac(there, TUNNEL), (lab["b1"].ip, 81)
    entry = f"bridge fdb {{}} {far} dev {TUNNEL} dst {{}}"
    right = entry.format("replace", "192.0.2.2")
    neighbour = f"10.244.1.0 lladdr {far} dev {TUNNEL} nud permanent"
    firewall = "iptables -{} {} -p udp --dport 8472 -j {}"
    around = f"ip route {{}} 192.0.2.2/32 via {NOBODY} onlink dev up0"

    def plant(kind: str, inside: Namespace, planted: str, mended: str, says: str, **more: bool) -> Fault:
        return Fault(kind, lambda: command(inside, planted, mended), "a1", "b1:81", b1, says=says, **more)

    return [
        plant("tunnel", here, entry.format("del", "192.0.2.2"), right, f"has no node for {far}"),
        plant("tunnel", here, entry.format("replace", NOBODY), right, f"to {NOBODY}, which is no node's"),
        plant("tunnel", here, f"ip neigh del {neighbour}", f"ip neigh replace {neighbour}", "no neighbour 10.244.1.0"),
        plant("drop", there, firewall.format("I", "INPUT", "DROP"), firewall.format("D", "INPUT", "DROP"), "node-2"),
        plant("drop", here, firewall.format("I", "OUTPUT", "REJECT"), firewall.format("D", "OUTPUT", "REJECT"), "8472"),
        plant("route", here, around.format("add"), around.format("del"), f"leads by {NOBODY}", asked_first=True),
        plant("route", here, "ip route add blackhole 192.0.2.2", "ip route del blackhole 192.0.2.2", "blackhole"),
        Fault("mtu", lambda: wide(lab), "a1", "b1:81", b1, happens="answers", says="1550"),
    ]


def on_the_bridge(lab: Lab) -> list[Fault]:
    here = lab.world.nodes[0].namespace
    a1, a2 = lab["a1"], lab["a2"]
    first, second = port_of(a1.inside, here), port_of(a2.inside, here)
    to = (a2.ip, 81)
    isolated = " && ".join(f"bridge link set dev {port} isolated {{0}}" for port in (first, second))
    fixed = f"bridge fdb {{}} {mac(a2.inside)} dev {{}} master static sticky"
    lie = f"ip neigh {{}} {{}} dev {{}} lladdr {STRANGER} nud permanent"
    again = f"ip link set {second} master cni0 && bridge link set dev {second} hairpin on"

    def plant(kind: str, planted: str, mended: str, says: str, inside: Namespace = here, source: str = "a1") -> Fault:
        return Fault(kind, lambda: command(inside, planted, mended), source, "a2:81", to, says=says)

    return [
        plant("bridge-port", isolated.format("on"), isolated.format("off"), "isolated"),
        plant("bridge-port", fixed.format("replace", first), f"{fixed.format('del', first)} || true", f"behind {first}",
              source="node-1"),
        plant("link", f"ip link set {second} down", f"ip link set {second} up", f"{second} is down"),
        plant("link", f"ip link set {second} nomaster", again, "is no port of cni0"),
        plant("link", "ip link set eth0 down",
              "ip link set eth0 up && ip route add default via 10.244.0.1", "eth0 is down", inside=a2.inside),
        plant("neighbour", lie.format("replace", a2.ip, "cni0"), f"ip neigh del {a2.ip} dev cni0", STRANGER,
              source="node-1"),
        plant("neighbour", lie.format("replace", a2.ip, "eth0"), f"ip neigh del {a2.ip} dev eth0", STRANGER,
              inside=a1.inside),
        Fault("duplicate-mac", lambda: duplicate(here, "10.244.0.99", mac(a2.inside)), "node-1", "a2:81", to,
              happens="either", says="twin0"),
    ]  # fmt: skip


def by_traffic_control(lab: Lab) -> list[Fault]:
    here = lab.world.nodes[0].namespace
    slow, a2 = lab["slow"], lab["a2"]
    port, own = port_of(a2.inside, here), mac(a2.inside)
    (ifb,) = here.json("ip", "-j", "link", "show", "type", "ifb")
    bucket = f"tc qdisc add dev {port} root tbf rate 1mbit burst {{}} limit {{}}"
    bare, to = f"tc qdisc del dev {port} root", (a2.ip, 81)
    moved = "ip link set eth0 address {}"
    return [
        Fault("traffic-control", lambda: command(here, bucket.format(40, 40), bare), "a1", "a2:81", to,
              says="never lets a frame of 74 bytes out"),
        Fault("traffic-control", lambda: command(here, bucket.format(1000, 9000), bare), "a1", "a2:81", to,
              happens="answers", says="never lets a full frame"),
        Fault("traffic-control",
              lambda: command(a2.inside, "tc qdisc add dev eth0 root blackhole", "tc qdisc del dev eth0 root"),
              "a1", "a2:81", to, says="eth0: blackhole: it drops everything"),
        Fault("link", lambda: command(here, f"ip link set {ifb['ifname']} down", f"ip link set {ifb['ifname']} up"),
              "a1", "slow:81", (slow.ip, 81), says="is down"),
        Fault("spoofing", lambda: command(a2.inside, moved.format(STRANGER), moved.format(own)), "a2", "a1:81",
              (lab["a1"].ip, 81), says="the pod sends from an address that it was not given"),
    ]  # fmt: skip


def by_routing(lab: Lab) -> list[Fault]:
    here, there = (node.namespace for node in lab.world.nodes)
    a1, b1 = lab["a1"], lab["b1"]
    table = f"ip route {{0}} unreachable default table 77 && ip rule {{0}} from {a1.ip} priority 50 lookup 77"
    strict = f"sysctl -qw net.ipv4.conf.{TUNNEL}.rp_filter={{}} && ip route {{}} {a1.ip}/32 dev up0"

    def plant(kind: str, inside: Namespace, planted: str, mended: str, says: str) -> Fault:
        return Fault(kind, lambda: command(inside, planted, mended), "a1", "b1:81", (b1.ip, 81), says=says)

    return [
        plant("route", here, f"ip route add prohibit {b1.ip}", f"ip route del prohibit {b1.ip}", "prohibit"),
        plant("route", here, table.format("add"), table.format("del"), "table 77 by ip rule 50"),
        plant("route", here, f"ip rule add to {b1.ip} priority 60 blackhole", "ip rule del priority 60", "ip rule 60"),
        plant("rp-filter", there, strict.format(1, "add"), strict.format(0, "del"), "another interface"),
    ]


def at_the_end(lab: Lab) -> list[Fault]:
    b1 = lab["b1"]
    lab.world.servers.append(b1.inside.serve("b1", 83, host="127.0.0.1"))
    return [
        Fault("closed", contextlib.nullcontext, "a1", "b1:82", (b1.ip, 82), happens="refused", says="nobody listens"),
        Fault(
            "closed", contextlib.nullcontext, "a1", "b1:83", (b1.ip, 83), happens="refused", says="at 127.0.0.1 only"
        ),
    ]
