"""NodeResourcesFit: the pod's requests fit into what the node has left; nodes with more left score higher."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery.meta.pod_resources import Amounts
from controlplane.scheduler.framework import FITS, MAX_SCORE, Change, Filter, Score, Verdict, What
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import Fit
from controlplane.scheduler.snapshot import Snapshot

LEAST_ALLOCATED = Fit()

_EVERYBODYS = ("cpu", "memory", "ephemeral-storage")

Share = Callable[[int, int], int]
"""(used with the pod, capacity) → 0 to 100."""


def insufficient(wanted: Amounts, node: NodeInfo) -> tuple[str, ...]:
    """Return what the node lacks for a pod that wants so much, in upstream's words; empty when all fits."""
    lacking = []
    if len(node.pods) + 1 > node.max_pods:
        lacking.append("Too many pods")
    allocatable, requested = node.allocatable, node.requested
    for name, amount in wanted.items():
        if amount > allocatable.get(name, 0) - requested.get(name, 0):
            lacking.append(f"Insufficient {name}")
    return tuple(lacking)


def concerns(name: str, wanted: Amounts) -> bool:
    """Whether a resource counts when nodes are scored: devices and the like only for pods that ask for them."""
    return name in _EVERYBODYS or bool(wanted.get(name))


def _least(fit: Fit) -> Share:
    return lambda used, capacity: 0 if used > capacity else (capacity - used) * MAX_SCORE // capacity


def _most(fit: Fit) -> Share:
    return lambda used, capacity: min(used, capacity) * MAX_SCORE // capacity


def _by_shape(fit: Fit) -> Share:
    """Straight lines between the points of the shape, level beyond its ends."""
    points = [(utilization, score * MAX_SCORE // 10) for utilization, score in fit.shape]

    def share(used: int, capacity: int) -> int:
        at = 100 if used > capacity else used * 100 // capacity
        for index, (utilization, score) in enumerate(points):
            if at <= utilization:
                if index == 0:
                    return score
                before, low = points[index - 1]
                return low + int((score - low) * (at - before) / (utilization - before))
        return points[-1][1]

    return share


_STRATEGIES: dict[str, Callable[[Fit], Share]] = {
    "LeastAllocated": _least,
    "MostAllocated": _most,
    "RequestedToCapacityRatio": _by_shape,
}


class NodeResourcesFit:
    """Filter on requests (init containers, sidecars, overhead included) and the number of pods; score by a strategy."""

    name = "NodeResourcesFit"
    judges_alone = True
    scores_alone = True

    def __init__(self, fit: Fit = LEAST_ALLOCATED) -> None:
        self._weights, self._share = fit.weights, _STRATEGIES[fit.strategy](fit)
        self._ignored, self._groups = fit.ignored, fit.groups
        # Of a ratio, what scores nothing weighs nothing, and the mean is rounded (requested_to_capacity_ratio.go).
        self._ratio = fit.strategy == "RequestedToCapacityRatio"

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the sums kept per node: O(resources of the pod)."""
        wanted = self._wanted(pod)

        def verdict(node: NodeInfo) -> Verdict:
            lacking = insufficient(wanted, node)
            if not lacking:
                return FITS
            # More than the whole node has: evicting its pods would not help.
            hopeless = any(amount > node.allocatable.get(name, 0) for name, amount in wanted.items())
            return Verdict(self.name, lacking, resolvable=not hopeless)

        return verdict

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Score by the weighted mean of the resources' scores, 0 to 100."""
        wanted, share, ratio = pod.scoring_requests, self._share, self._ratio
        weights = [(name, weight) for name, weight in self._weights if concerns(name, wanted)]

        def score(node: NodeInfo) -> int:
            total = weight_sum = 0
            for name, weight in weights:
                capacity = node.allocatable.get(name, 0)
                if capacity == 0:
                    continue
                used = node.requested_for_scoring.get(name, 0) + wanted.get(name, 0)
                points = share(used, capacity)
                if points or not ratio:
                    total += weight * points
                    weight_sum += weight
            if not weight_sum:
                return 0
            return (2 * total + weight_sum) // (2 * weight_sum) if ratio else total // weight_sum

        return score

    def _wanted(self, pod: PodInfo) -> Amounts:
        if not self._ignored and not self._groups:
            return pod.requests
        from apimachinery.api.validation.checks import is_extended_resource  # two megabytes, seldom asked for

        return {
            name: amount
            for name, amount in pod.requests.items()
            if not is_extended_resource(name) or not (name in self._ignored or name.partition("/")[0] in self._groups)
        }

    def normalize(self, scores: list[int]) -> list[int]:
        """Already 0 to 100."""
        return scores

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """A pod that frees something wanted helps, to want less, or a node on whose whole the pod would fit."""
        if change.what is What.ITSELF:
            before = change.old.requests if isinstance(change.old, PodInfo) else {}
            return any(amount > pod.requests.get(name, 0) for name, amount in before.items())
        if change.what in (What.POD_DELETE, What.POD_UPDATE):
            if not isinstance(change.old, PodInfo):
                return True
            if change.what is What.POD_DELETE:
                return True
            after = change.new.requests if isinstance(change.new, PodInfo) else {}
            return any(change.old.requests.get(name, 0) > after.get(name, 0) for name in pod.requests)
        if change.what not in (What.NODE_ADD, What.NODE_UPDATE) or not isinstance(change.new, NodeInfo):
            return False
        new, wanted = change.new, self._wanted(pod)
        if new.max_pods == 0 or any(amount > new.allocatable.get(name, 0) for name, amount in wanted.items()):
            return False
        if change.what is What.NODE_ADD or not isinstance(change.old, NodeInfo):
            return True
        old = change.old
        return new.max_pods > old.max_pods or any(
            new.allocatable.get(name, 0) > old.allocatable.get(name, 0) for name in pod.requests
        )
