"""NodeResourcesBalancedAllocation: prefer nodes whose resources would be used in like shares."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.scheduler.framework import MAX_SCORE, Score
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.plugins.node_resources_fit import concerns
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot


class BalancedAllocation:
    """Score by the standard deviation of the used shares of each resource.

    Pods that ask for none of the resources are not scored: they would change no share, and all go to one node."""

    name = "NodeResourcesBalancedAllocation"
    scores_alone = True

    def __init__(self, resources: Sequence[str] = ("cpu", "memory")) -> None:
        self._resources = tuple(resources)

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Score 100 for equal shares, down to 50 for the utmost imbalance of two."""
        wanted = pod.requests
        if not any(wanted.get(name) for name in self._resources):
            return None
        resources = [name for name in self._resources if concerns(name, wanted)]

        def score(node: NodeInfo) -> int:
            shares = []
            for name in resources:
                capacity = node.allocatable.get(name, 0)
                if capacity:
                    used = node.requested.get(name, 0) + wanted.get(name, 0)
                    shares.append(used / capacity if used < capacity else 1.0)
            if len(shares) < 2:
                return MAX_SCORE
            if len(shares) == 2:
                # The standard deviation of two is half their distance; this is the common case, asked for every node.
                return int((1 - abs(shares[0] - shares[1]) / 2) * MAX_SCORE)
            mean = sum(shares) / len(shares)
            deviation = (sum((share - mean) ** 2 for share in shares) / len(shares)) ** 0.5
            return int((1 - deviation) * MAX_SCORE)

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        """Already 0 to 100."""
        return scores
