"""What the scheduler thinks of a pod, in full. Pure: the same rules, asked without stopping at the first refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.scheduler.explain.changes import Change, changes_for
from controlplane.scheduler.framework import Framework, Verdict
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot

# So many ways of one node are tried; beyond, what could be left out is not looked for.
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node. refusals: of every filter; empty when the pod fits. scores: by plugin, weighted; empty when refused."""

    name: str
    refusals: Sequence[Verdict] = ()
    scores: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.scores.values())


@dataclass(frozen=True, slots=True)
class Suggestion:
    """With these changes the pod fits this node: tried, not guessed."""

    node: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """nodes: in the order of the snapshot. best: those with the highest total. suggestion: None where the pod fits, or
    where no change of the pod or of a single node that we know of helps."""

    nodes: Sequence[NodeReport]
    best: Sequence[str] = ()
    suggestion: Suggestion | None = None


def explain(framework: Framework, pod: PodInfo, snapshot: Snapshot) -> Report:
    """The report on a pod that is on no node of the snapshot. Costs O(filters x nodes), with no sampling of nodes."""
    refusals = {node.name: framework.explain(pod, snapshot, node) for node in snapshot.nodes}
    feasible = [node for node in snapshot.nodes if not refusals[node.name]]
    scores = framework.score(pod, snapshot, feasible)
    nodes = [NodeReport(name, tuple(found), {} if found else scores.of(name)) for name, found in refusals.items()]
    if feasible:
        return Report(nodes, scores.best())
    return Report(nodes, suggestion=suggest(framework, pod, snapshot))


def suggest(framework: Framework, pod: PodInfo, snapshot: Snapshot) -> Suggestion | None:
    """The fewest changes that let the pod onto some node; among equals the smallest cut of its requests."""
    found = [
        Suggestion(node.name, changes)
        for node in snapshot.nodes
        if (changes := _changes(framework, pod, snapshot, node.name)) is not None
    ]
    return min(found, key=lambda one: (len(one.changes), sum(each.cost for each in one.changes)), default=None)


def _changes(framework: Framework, pod: PodInfo, snapshot: Snapshot, name: str) -> tuple[Change, ...] | None:
    """What lets the pod onto the node, or None. A change may uncover the next refusal: so it goes on from there."""
    done: list[Change] = []
    for _ in range(_ROUNDS):
        node = snapshot.by_name[name]
        refusals = framework.explain(pod, snapshot, node)
        if not refusals:
            return tuple(done)
        for refusal in refusals:
            changes = changes_for(refusal, pod, node)
            if not changes:
                return None
            done += changes
            for change in changes:
                pod, node = change.applied(pod, node)
        snapshot = snapshot.replacing(node)
    return None
