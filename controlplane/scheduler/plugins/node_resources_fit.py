"""NodeResourcesFit: the pod's requests fit into what the node has left; nodes with more left score higher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.scheduler.framework import FITS, MAX_SCORE, Change, Filter, Score, Verdict, What
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot


def insufficient(pod: PodInfo, node: NodeInfo) -> tuple[str, ...]:
    """Return the resources that the node lacks for the pod, in upstream's words; empty when all fit."""
    lacking = []
    if len(node.pods) + 1 > node.max_pods:
        lacking.append("Too many pods")
    allocatable, requested = node.allocatable, node.requested
    for name, amount in pod.requests.items():
        if amount > allocatable.get(name, 0) - requested.get(name, 0):
            lacking.append(f"Insufficient {name}")
    return tuple(lacking)


class NodeResourcesFit:
    """Filter on requests (init containers, sidecars, overhead included) and the number of pods; LeastAllocated score.

    weights: the resources that count in the score and how much each weighs.
    """

    name = "NodeResourcesFit"

    def __init__(self, weights: Mapping[str, int] | None = None) -> None:
        self._weights = dict(weights or {"cpu": 1, "memory": 1})

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the sums kept per node: O(resources of the pod)."""

        def verdict(node: NodeInfo) -> Verdict:
            lacking = insufficient(pod, node)
            if not lacking:
                return FITS
            # More than the whole node has: evicting its pods would not help.
            hopeless = any(amount > node.allocatable.get(name, 0) for name, amount in pod.requests.items())
            return Verdict(self.name, lacking, resolvable=not hopeless)

        return verdict

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Score by the mean share that would stay free, 0 to 100."""
        wanted = pod.scoring_requests
        weights = list(self._weights.items())

        def score(node: NodeInfo) -> int:
            total = weight_sum = 0
            for name, weight in weights:
                capacity = node.allocatable.get(name, 0)
                if capacity == 0:
                    continue
                used = node.requested_for_scoring.get(name, 0) + wanted.get(name, 0)
                total += weight * (0 if used > capacity else (capacity - used) * MAX_SCORE // capacity)
                weight_sum += weight
            return total // weight_sum if weight_sum else 0

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        """Already 0 to 100."""
        return scores

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """A pod that frees something wanted helps, or a node on whose whole the pod would fit."""
        if change.what in (What.POD_DELETE, What.POD_UPDATE):
            if not isinstance(change.old, PodInfo):
                return True
            if change.what is What.POD_DELETE:
                return True
            after = change.new.requests if isinstance(change.new, PodInfo) else {}
            return any(change.old.requests.get(name, 0) > after.get(name, 0) for name in pod.requests)
        if change.what not in (What.NODE_ADD, What.NODE_UPDATE) or not isinstance(change.new, NodeInfo):
            return False
        new = change.new
        if new.max_pods == 0 or any(amount > new.allocatable.get(name, 0) for name, amount in pod.requests.items()):
            return False
        if change.what is What.NODE_ADD or not isinstance(change.old, NodeInfo):
            return True
        old = change.old
        return new.max_pods > old.max_pods or any(
            new.allocatable.get(name, 0) > old.allocatable.get(name, 0) for name in pod.requests
        )
