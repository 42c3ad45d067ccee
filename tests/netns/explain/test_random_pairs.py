"""What the walker says of random pairs, and what really happens: by real connections through the real kernel."""

import itertools
import os
import random
from collections import Counter
from dataclasses import replace

import pytest

from nodeagent.explain import show
from nodeagent.explain.main import read_cluster, read_nodes
from nodeagent.explain.question import ask
from nodeagent.explain.report import Report, explain
from tests.netns.explain.conftest import Lab, Peer, policies, rules, soon
from tests.netns.explain.test_planted_faults import Fault, command, judge

PAIRS = int(os.environ.get("KUBELAB_PAIRS", "30"))
SEED = int(os.environ.get("KUBELAB_SEED", "11"))
SOURCES = ("a1", "a2", "b1", "b2", "node-1", "node-2", "outside")


async def build(lab: Lab) -> dict[str, str]:
    """Services of every sort and policies in both directions; the addresses to ask, by name."""
    vips = {
        "web": await lab.service("web", "a1", "b1", type="NodePort"),
        "one": await lab.service("one", "b1", sessionAffinity="ClientIP"),
        "near": await lab.service("near", "b1", internalTrafficPolicy="Local"),
        "edge": await lab.service("edge", "a1", type="NodePort", externalTrafficPolicy="Local"),
        "none": await lab.service("none"),
        "closed": await lab.service("closed", ports=[{"port": 80, "targetPort": 9}]),
        "self": await lab.service("self", "a2"),
    }
    kept = {"from": [{"podSelector": {"matchLabels": {"app": "a1"}}}], "ports": [{"port": 8080}]}
    await lab.policy("keep", podSelector={"matchLabels": {"app": "a2"}}, ingress=[kept])
    block = {"to": [{"ipBlock": {"cidr": f"{lab['a1'].ip}/{128 if lab.is_six else 32}"}}]}
    quiet = {"podSelector": {"matchLabels": {"app": "b2"}}, "policyTypes": ["Egress"], "egress": [block]}
    await lab.policy("quiet", "other", **quiet)
    one, two = lab.world.nodes
    for node in (one, two):
        await soon(f"rules of {node.name}", lambda node=node: "default/self" in rules(node))
    await soon("the policy of a2", lambda: "default/keep ingress[0]" in policies(one))
    await soon("the policy of b2", lambda: "other/quiet egress[0]" in policies(two))
    # What is known of the last Service is known of all before it; and its endpoints come after it.
    last = await lab.service("last", "a1", "b1")
    for name in ("a1", "b1", "node-1", "node-2"):
        await soon("an answer", lambda name=name: lab[name].ask(last, 80)[0] == "answers")
    return vips


def expected(report: Report, lab: Lab) -> set[tuple[str, str]]:
    """What may happen, in the words of `Peer.ask`."""
    names = {peer.ip: name for name, peer in lab.peers.items()}
    found = set()
    for way in report.outcomes:
        if way.verdict == "answers":
            found.add(("answers", f"{names[way.backend.rpartition(':')[0].strip('[]')]} from {way.seen_as}"))
        else:
            found.add(("refused" if way.verdict == "refused" else "silent", ""))
    return found


def drawn(chance: random.Random, lab: Lab, vips: dict[str, str], ports: list[int]) -> tuple[Peer, str, int, str]:
    source = lab[chance.choice(SOURCES)]
    kind = chance.choice(("pod", "service", "service", "node-port", "node"))
    protocol = "udp" if kind == "pod" and chance.random() < 0.25 else "tcp"
    if kind == "pod":
        return source, lab[chance.choice(SOURCES[:4])].ip, chance.choice((8080, 81, 82)), protocol
    if kind == "service":
        return source, vips[chance.choice(sorted(vips))], chance.choice((80, 80, 80, 81)), protocol
    node = lab[chance.choice(("node-1", "node-2"))].ip
    return source, node, chance.choice(ports) if kind == "node-port" else 9999, protocol


SIX_IN_VXLAN = "nftables --pod-network=vxlan --ipv6"
WAYS = ["iptables", "nftables", SIX_IN_VXLAN]
if PAIRS >= 200:
    WAYS = [
        " ".join(filter(None, words))
        for words in itertools.product(("iptables", "nftables"), ("", "--pod-network=vxlan"), ("", "--ipv6"))
    ]


@pytest.mark.parametrize("lab", WAYS, indirect=True)
async def test_verdicts_agree_with_what_happens(lab: Lab, request: pytest.FixtureRequest) -> None:
    vips = await build(lab)
    cluster = await read_cluster(lab.world.client)
    ports = [port["nodePort"] for one in cluster.services for port in one["spec"]["ports"] if "nodePort" in port]
    whole = ask(cluster, lab["a1"].words, f"[{lab['b1'].ip}]:80")
    whole = replace(whole, nodes=("node-1", "node-2"), ips=tuple(lab[name].ip for name in SOURCES[:4]))
    nodes, unread = await read_nodes(whole, lab.read)
    assert not unread
    calm = explain(cluster, whole, nodes, unread)
    assert [one for one in calm.findings if one.kind in ("flushed", "foreign", "dead-endpoint", "proxy")] == []
    if lab.is_six:
        # A policy keeps b2 in; who its neighbours are it may tell and ask all the same (RFC 4861).
        for name in SOURCES[:4]:
            lab[name].inside.run("ip", "-6", "neigh", "flush", "dev", "eth0")
        assert lab["b1"].ask(lab["b2"].ip, 82)[0] == "refused"
    chance, wrong, seen = random.Random(SEED), list[str](), Counter[str]()
    while seen.total() < PAIRS:
        source, ip, port, protocol = drawn(chance, lab, vips, ports)
        if source is lab["outside"] and ip not in (lab["node-1"].ip, lab["node-2"].ip):
            continue  # outside, nobody has a route to pods and ClusterIPs
        question = ask(cluster, source.words, f"[{ip}]:{port}", protocol=protocol, via="")
        report = explain(cluster, question, nodes, unread)
        silent = ("silent", "") in expected(report, lab)
        happened = source.ask(ip, port, protocol, timeout=0.7 if silent else 20.0)
        seen[happened[0]] += 1
        if happened not in expected(report, lab):
            told = "\n".join(show.lines(report, every=True, commands=False))
            wrong.append(f"{source.words} → {ip}:{port}/{protocol}: {happened}, not {expected(report, lab)}\n{told}")
    print(f"{seen.total()} pairs: {dict(sorted(seen.items()))}, {len(wrong)} not as told")
    assert not wrong, f"{len(wrong)} of {PAIRS}\n" + "\n\n".join(wrong)
    assert set(seen) == {"answers", "refused", "silent"}
    if lab.is_six and "vxlan" in request.node.name:
        for fault in faults_of_six(lab):
            assert not await judge(lab, fault)


def faults_of_six(lab: Lab) -> list[Fault]:
    """A neighbour that is somebody else; and what drops a tunnel's packets, which are of IPv4 around IPv6."""
    node, b1 = lab["node-2"].inside, lab["b1"].ip
    lie = f"ip neigh replace {b1} lladdr 02:00:00:00:00:99 dev cni0 nud permanent"
    rule = "iptables -{} INPUT -p udp --dport 8472 -j DROP"
    return [
        Fault("neighbour", lambda: command(node, lie, f"ip neigh del {b1} dev cni0"), "node-2", f"[{b1}]:81", (b1, 81),
              says="(PERMANENT)"),
        Fault("drop", lambda: command(node, rule.format("I"), rule.format("D")), "a1", f"[{b1}]:81", (b1, 81),
              says="udp --dport 8472"),
    ]  # fmt: skip
