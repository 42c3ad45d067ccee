"""One scheduling decision: filter, score, choose. Pure: equal snapshot, pod and random source give an equal answer."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.scheduler.framework import Filter, Framework, Scores, Verdict
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot

# Upstream's adaptive sampling: on large clusters it suffices to find some feasible nodes.
_MIN_FEASIBLE = 100
_MIN_PERCENTAGE = 5

Nominated = Mapping[str, Collection[PodInfo]]


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one pod.

    node: the chosen node, or None when none fits.
    refusals: by node name; complete when `node` is None, except that nodes which cannot matter (the pod names its
        nodes) carry the verdict of the plugin that rules them out.
    scores: of the feasible nodes.
    evaluated: how many nodes were judged; the next decision starts behind them.
    """

    node: str | None
    refusals: Mapping[str, Verdict] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)
    evaluated: int = 0


def feasible_nodes_to_find(total: int, percentage: int = 0) -> int:
    """Return how many feasible nodes end the search among `total`.

    percentage: of nodes to score, 1 to 100; 0 lets it shrink from 50 to 5 as the cluster grows.
    """
    if total < _MIN_FEASIBLE or percentage >= 100:
        return total
    if percentage == 0:
        percentage = max(_MIN_PERCENTAGE, 50 - total // 125)
    return max(_MIN_FEASIBLE, total * percentage // 100)


def decide(
    framework: Framework,
    pod: PodInfo,
    snapshot: Snapshot,
    *,
    start: int = 0,
    nominated: Nominated | None = None,
    rng: random.Random | None = None,
    percentage: int = 0,
) -> Decision:
    """Choose the node with the highest score among those that pass every filter.

    start: index of the node to begin with, so that sampling visits all nodes in turn.
    nominated: pods that wait for room made on a node; those of equal or higher priority count as if they were there.
    rng: breaks ties; without it the first of the best wins. percentage: see `feasible_nodes_to_find`.
    """
    found = where_room_was_made(framework, pod, snapshot, nominated) or find_feasible(
        framework, pod, snapshot, start=start, nominated=nominated, percentage=percentage
    )
    return choose(framework, pod, snapshot, found, rng=rng)


@dataclass(slots=True)
class Feasible:
    """The nodes that a pod may go to, why not the others, and how many were judged."""

    nodes: list[NodeInfo]
    refusals: dict[str, Verdict]
    evaluated: int


def where_room_was_made(
    framework: Framework, pod: PodInfo, snapshot: Snapshot, nominated: Nominated | None
) -> Feasible | None:
    """The node that the pod is nominated to, if it fits there now: then no other is looked at, nor any skipped."""
    node = snapshot.by_name.get(pod.nominated_node)
    if node is None or not judge_beside(framework, pod, snapshot, nominated or {})(node).fits:
        return None
    return Feasible([node], {}, 0)


def find_feasible(
    framework: Framework,
    pod: PodInfo,
    snapshot: Snapshot,
    *,
    start: int = 0,
    nominated: Nominated | None = None,
    percentage: int = 0,
) -> Feasible:
    """The first half of `decide`."""
    total = len(snapshot)
    wanted = feasible_nodes_to_find(total, percentage)
    verdict_of = judge_beside(framework, pod, snapshot, nominated or {})
    feasible: list[NodeInfo] = []
    refusals: dict[str, Verdict] = {}
    evaluated = 0
    for node in _candidates(pod, snapshot, start, refusals):
        evaluated += 1
        verdict = verdict_of(node)
        if verdict.reasons:
            refusals[node.name] = verdict
            continue
        feasible.append(node)
        if len(feasible) >= wanted:
            break
    return Feasible(feasible, refusals, evaluated)


def choose(
    framework: Framework,
    pod: PodInfo,
    snapshot: Snapshot,
    found: Feasible,
    *,
    rng: random.Random | None = None,
    added: Mapping[str, int] | None = None,
) -> Decision:
    """The second half of `decide`. added: to the total scores of nodes, by others than our plugins."""
    feasible, refusals, evaluated = found.nodes, found.refusals, found.evaluated
    if not feasible:
        return Decision(None, refusals, evaluated=evaluated)
    if len(feasible) == 1:
        return Decision(feasible[0].name, refusals, Scores([feasible[0].name], [0]), evaluated)
    scores = framework.score(pod, snapshot, feasible)
    if added:
        scores = scores.plus("Extender", [added.get(node.name, 0) for node in feasible])
    winners = scores.best()
    return Decision(rng.choice(winners) if rng else winners[0], refusals, scores, evaluated)


def _candidates(pod: PodInfo, snapshot: Snapshot, start: int, refusals: dict[str, Verdict]) -> Sequence[NodeInfo]:
    """Return the nodes to judge, in order; those that a pod naming its nodes rules out are refused here."""
    names = pod.required_nodes.names
    if not names:  # none that can match: the rule refuses the whole pod
        start %= max(len(snapshot.nodes), 1)
        return snapshot.nodes if start == 0 else snapshot.nodes[start:] + snapshot.nodes[:start]
    elsewhere = Verdict("NodeAffinity", ("node(s) didn't satisfy plugin(s) [NodeAffinity]",), resolvable=False)
    refusals.update((node.name, elsewhere) for node in snapshot.nodes if node.name not in names)
    return [snapshot.by_name[name] for name in sorted(names) if name in snapshot.by_name]


def judge_beside(framework: Framework, pod: PodInfo, snapshot: Snapshot, nominated: Nominated) -> Filter:
    """Return the judge of one node that also counts the pods nominated to it.

    A node must fit with and without them: they may never arrive, and a pod with affinity to them must not rely on it.
    Counted are what they occupy (resources, ports, pods); the spread and affinity counts do not include them.
    """
    judge = framework.judge(pod, snapshot)
    if not nominated:
        return judge

    def verdict(node: NodeInfo) -> Verdict:
        awaited = [p for p in nominated.get(node.name, ()) if p.priority >= pod.priority and p.uid != pod.uid]
        if awaited:
            crowded = node.clone()
            for other in awaited:
                crowded.add_pod(other)
            found = judge(crowded)
            if found.reasons:
                return found
        return judge(node)

    return verdict
