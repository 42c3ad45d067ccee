"""A question, the snapshots and the API's objects → every way that the packet can take, and what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .account import judge_node, policies_of
from .choices import Chooser, every_way
from .cluster import Cluster
from .packet import ANSWERS, MENDS, UNKNOWN, Finding, Outcome, Packet
from .question import Question
from .snapshot import NodeSnapshot
from .verdicts import split_endpoint
from .walk import Start, Walk
from .world import Site, World

SOMETIMES = "sometimes"


@dataclass(frozen=True, slots=True)
class Report:
    """outcomes: each way, the likeliest first. verdict: theirs where all agree, `sometimes` where one answers and
    another does not, else the likeliest's. findings: of all ways and nodes, each once. whole: no way was left out."""

    question: Question
    outcomes: tuple[Outcome, ...]
    verdict: str
    findings: tuple[Finding, ...]
    whole: bool


def explain(
    cluster: Cluster, question: Question, nodes: Mapping[str, NodeSnapshot], unread: Mapping[str, str]
) -> Report:
    """unread: nodes of the question that could not be read, and why."""
    world = cluster.world(nodes, unread, question.family)
    start = _start(question, world)
    if isinstance(start, str):
        outcomes, whole = [Outcome(UNKNOWN, 1.0, start)], True
    else:
        outcomes, whole = every_way(lambda chooser: _walk(world, start, chooser))
    findings: list[Finding] = []
    for outcome in outcomes:
        findings += [_explained(one, cluster, question) for one in outcome.findings]
        findings += _dead(outcome, question, world)
    for node in nodes.values():
        findings += judge_node(cluster, node, question.family, question.ips)
    ordered = tuple(sorted(outcomes, key=lambda one: -one.probability))
    return Report(question, ordered, _verdict(ordered), tuple(dict.fromkeys(findings)), whole)


def _walk(world: World, start: Start, chooser: Chooser) -> Outcome:
    return Walk(world, start, chooser).run()


def _start(question: Question, world: World) -> Start | str:
    """A text where there is nothing to start from."""
    source, target = question.source, question.target
    packet = Packet(source.ip, target.ip, question.protocol, question.port, question.source_port)
    if source.kind == "address":
        entry = world.nodes.get(question.via)
        return Start(packet, entry=entry) if entry is not None else f"{question.via} could not be read"
    home = source.name if source.kind == "node" else str(((source.object or {}).get("spec") or {}).get("nodeName"))
    node = world.nodes.get(home)
    if node is None:
        return f"{home} could not be read: {world.unread.get(home, 'there is no such node')}"
    if source.kind == "node" or ((source.object or {}).get("spec") or {}).get("hostNetwork"):
        # The kernel chooses the address by the route, as it does for a socket that is not bound.
        packet.src = ""
        return Start(packet, Site(node, node.host))
    pod = next((pod for pod in node.pods if pod.holds(source.ip)), None)
    if pod is None:
        return f"no network namespace on {home} has the address {source.ip} of pod {source.name}"
    return Start(packet, Site(node, pod))


def _dead(outcome: Outcome, question: Question, world: World) -> list[Finding]:
    """Translated to an address that is no endpoint: by whatever rules."""
    rewritten = [one for one in outcome.steps if one.what.startswith("[") and "rewritten: " in one.what]
    if question.service is None or not rewritten or outcome.verdict == ANSWERS:
        return []
    ip, port = split_endpoint(rewritten[0].what.rpartition("→ ")[2].split()[0])
    if ip in world.backends:
        return []
    what = f"rules lead to {ip}:{port}, which is no endpoint of the Service"
    return [Finding("dead-endpoint", rewritten[0].host, what, mend=MENDS["dead-endpoint"])]


def _explained(finding: Finding, cluster: Cluster, question: Question) -> Finding:
    """A policy's drop, with the names of the policies that isolate the pod."""
    if finding.kind != "policy":
        return finding
    egress = " egress-" in finding.what
    pods = [question.source.object] if egress else [cluster.pod_with(ip) for ip in question.ips]
    names = sorted({name for pod in pods for name in policies_of(cluster, pod, "egress" if egress else "ingress")})
    if not names:
        return finding
    says = f"NetworkPolicy {', '.join(names)}: nothing lets this {'out' if egress else 'in'}"
    return replace(finding, what=f"{says}: {finding.what}")


def _verdict(outcomes: tuple[Outcome, ...]) -> str:
    said = {one.verdict for one in outcomes}
    return SOMETIMES if len(said) > 1 and ANSWERS in said else outcomes[0].verdict
