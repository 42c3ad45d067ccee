"""Ten faults, planted one after the other: each is found, and the verdict is what really happens."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from apimachinery.api.catalogue import ENDPOINTSLICES
from nodeagent.explain import show
from nodeagent.explain.report import Report
from tests.netns.cni.namespaces import Namespace
from tests.netns.explain.conftest import Lab, Peer, policies, rules, soon

NOBODY = "10.244.1.200"


@dataclass
class Fault:
    """plant: a context in which the fault is there. happens: as `Peer.ask` calls it; kind: of the finding."""

    kind: str
    plant: Callable[[], AbstractContextManager[object]]
    source: str
    to: str
    address: tuple[str, int]
    happens: str = "silent"
    says: str = ""
    asked_first: bool = False  # for what the kernel knows only when it has tried


@contextlib.contextmanager
def command(inside: Namespace, there: str, back: str) -> Iterator[None]:
    inside.run("sh", "-ec", there)
    try:
        yield
    finally:
        inside.run("sh", "-ec", back)


@contextlib.contextmanager
def flushed(inside: Namespace) -> Iterator[None]:
    saved = inside.run("iptables-save", "-t", "nat")
    inside.run("iptables", "-t", "nat", "-F", "KUBE-SERVICES")
    try:
        yield
    finally:
        inside.run("iptables-restore", input=saved)


@contextlib.contextmanager
def duplicate(node: Namespace, ip: str, mac: str = "") -> Iterator[None]:
    """A namespace that nobody knows of, on the node's bridge, with a pod's address there, or its hardware address."""
    other = Namespace("twin")
    try:
        node.run(*f"ip link add twin0 type veth peer name eth0 netns {other.name}".split())
        node.run(*["ip", "link", "set", "twin0", "master", "cni0", "up"])
        other.run(*f"ip address add {ip}/24 dev eth0".split())
        if mac:
            other.run(*f"ip link set eth0 address {mac}".split())
        other.run(*["ip", "link", "set", "eth0", "up"])
        yield
    finally:
        other.delete()


def port_of(pod: Namespace, node: Namespace) -> str:
    (own,) = pod.json("ip", "-j", "link", "show", "eth0")
    return str(next(one["ifname"] for one in node.json("ip", "-j", "link") if one["ifindex"] == own["link_index"]))


def large(source: Peer, ip: str) -> bool:
    """Whether a datagram that fills the pod's interface is answered. It may not be fragmented."""

    def exchange() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.7)
            client.connect((ip, 8080))
            try:
                client.send(b"?" * 1472)
                return bool(client.recv(1024))
            except OSError:
                return False

    return source.inside.inside(exchange)


def kinds(report: Report) -> set[str]:
    return {one.kind for one in report.findings}


async def test_each_of_ten_faults_is_found(lab: Lab) -> None:
    one, two = lab.world.nodes
    web = await lab.service("web", "b1")
    own = await lab.service("own", "a1")
    dead = await lab.world.service("dead", [(NOBODY, "node-2")])
    await lab.policy("keep", podSelector={"matchLabels": {"app": "a2"}}, ingress=[])
    await soon("the Services", lambda: lab["a2"].ask(web, 80)[0] == lab["a1"].ask(own, 80)[0] == "answers")
    await soon("the policy", lambda: lab["a2"].ip in policies(one))
    for node in (one, two):
        await soon("rules to nobody", lambda node=node: NOBODY in rules(node))
    assert kinds(await lab.why("a2", "svc/web")) == set()

    # From here on nothing is repaired.
    for node in lab.world.nodes:
        assert node.process is not None
        node.process.stop()
    await lab.world.client.delete(ENDPOINTSLICES, "dead-1", "default")

    here, there = one.namespace, two.namespace
    port = port_of(lab["a1"].inside, here)
    route = "ip route {} 10.244.1.0/24 via 192.0.2.2 proto 76"
    track = f"iptables -t raw -{{}} PREROUTING -d {web} -j CT --notrack"
    hairpin = f"bridge link set dev {port} hairpin {{}}"
    b1 = (lab["b1"].ip, 81)
    faults = [
        Fault("flushed", lambda: flushed(here), "a2", "svc/web", (web, 80), says="KUBE-SERVICES"),
        Fault("route", lambda: command(here, route.format("del"), route.format("add")), "a1", "b1:81", b1),
        Fault("mtu", lambda: command(there, "ip link set up0 mtu 1300", "ip link set up0 mtu 1500"), "a1", "b1:81", b1,
              happens="answers", says="1300"),
        Fault("duplicate-address", lambda: duplicate(here, lab["a1"].ip), "node-1", "a1:81", (lab["a1"].ip, 81),
              happens="either", says="twin"),
        Fault("conntrack", lambda: command(here, track.format("A"), track.format("D")), "a2", "svc/web", (web, 80)),
        Fault("policy", contextlib.nullcontext, "a1", "a2:81", (lab["a2"].ip, 81), says="default/keep"),
        Fault("dead-endpoint", contextlib.nullcontext, "a1", "svc/dead", (dead, 80), says=NOBODY),
        Fault("hairpin",
              lambda: command(here, hairpin.format("off"), hairpin.format("on")),
              "a1", "svc/own", (own, 80), says=port),
        Fault("forwarding",
              lambda: command(there, "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1"),
              "a1", "b1:81", b1, says="node-2"),
        Fault("link", lambda: command(here, "ip link set cni0 down", "ip link set cni0 up"), "a1", "b1:81", b1,
              says="cni0 is down"),
    ]  # fmt: skip
    wrong = [words for fault in faults for words in await judge(lab, fault)]
    assert not wrong, "\n\n".join(wrong)


async def judge(lab: Lab, fault: Fault) -> list[str]:
    """What is not as it should be; and afterwards all is as before."""
    source, wrong = lab[fault.source], []
    with fault.plant():
        if fault.asked_first:
            source.ask(*fault.address, timeout=0.5)
        report = await lab.why(fault.source, fault.to)
        happened, _ = source.ask(*fault.address, timeout=20.0 if fault.happens == "answers" else 0.5)
        told = "\n".join(show.lines(report, every=True, commands=False))
        said = "answers" if report.verdict == "answers" else report.verdict
        said = "silent" if said in ("dropped", "unreachable") else said
        found = [f"{one.host} {one.what}" for one in report.findings if one.kind == fault.kind]
        if not any(fault.says in words for words in found) or not all(one.mend for one in report.findings):
            wrong.append(f"{fault.kind} is not found; {found}\n{told}")
        if fault.happens != "either" and not said == happened == fault.happens:
            wrong.append(f"{fault.kind}: {happened}, expected {fault.happens}, told {report.verdict}\n{told}")
        if fault.kind == "mtu" and large(source, fault.address[0]):
            wrong.append("a large datagram gets through")
    if fault.kind not in ("policy", "dead-endpoint", "closed"):
        await soon(f"{fault.kind} is mended", lambda: source.ask(*fault.address)[0] == "answers")
    return wrong
