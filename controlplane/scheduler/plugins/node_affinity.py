"""NodeAffinity: nodeSelector and node affinity, required (filter) and preferred (score)."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.scheduler.framework import FITS, Change, Filter, Score, Verdict, node_facts_changed, normalize_to_max
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot


class NodeAffinity:
    """Filter and score on the node's labels and name."""

    name = "NodeAffinity"
    judges_alone = True
    scores_alone = True

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by nodeSelector and the required terms."""
        required = pod.required_nodes
        if required.unrestricted:
            return None
        refusal = Verdict(self.name, ("node(s) didn't match Pod's node affinity/selector",), resolvable=False)

        def verdict(node: NodeInfo) -> Verdict:
            return FITS if required.matches(node.name, node.labels) else refusal

        return verdict

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Sum the weights of the preferred terms that match."""
        preferred = pod.preferred_nodes
        if not preferred:
            return None

        def score(node: NodeInfo) -> int:
            return sum(weight for weight, term in preferred if term.matches(node.name, node.labels))

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        """The best node gets 100."""
        return normalize_to_max(scores)

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """A node that matches now and did not before helps."""
        if not node_facts_changed(change, lambda node: node.labels):
            return False
        return not isinstance(change.new, NodeInfo) or pod.required_nodes.matches(change.new.name, change.new.labels)
