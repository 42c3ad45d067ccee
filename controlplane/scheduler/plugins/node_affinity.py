"""NodeAffinity: nodeSelector and node affinity, required (filter) and preferred (score)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.meta.node_selector import RequiredNodes
from controlplane.scheduler.framework import FITS, Change, Filter, Score, Verdict, node_facts_changed, normalize_to_max
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo, preferred_terms
from controlplane.scheduler.snapshot import Snapshot


class NodeAffinity:
    """Filter and score on the node's labels and name.

    added: node affinity that the profile gives to every pod (NodeAffinityArgs.addedAffinity).
    """

    name = "NodeAffinity"
    judges_alone = True
    scores_alone = True

    def __init__(self, added: Mapping[str, Any] | None = None) -> None:
        affinity = {"affinity": {"nodeAffinity": dict(added or {})}}
        self._enforced, self._preferred = RequiredNodes(affinity), preferred_terms(affinity)

    def refuse(self, pod: PodInfo, snapshot: Snapshot) -> Verdict | None:
        """Refuse a pod whose every term names nodes that are not the same node."""
        if pod.required_nodes.names != frozenset():
            return None
        return Verdict(self.name, ("pod affinity terms conflict",), resolvable=False, whole_pod=True)

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by nodeSelector and the required terms."""
        enforced, required = self._enforced, pod.required_nodes
        if required.unrestricted and enforced.unrestricted:
            return None
        outside = Verdict(self.name, ("node(s) didn't match scheduler-enforced node affinity",), resolvable=False)
        refusal = Verdict(self.name, ("node(s) didn't match Pod's node affinity/selector",), resolvable=False)

        def verdict(node: NodeInfo) -> Verdict:
            if not enforced.matches(node.name, node.labels):
                return outside
            return FITS if required.matches(node.name, node.labels) else refusal

        return verdict

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Sum the weights of the preferred terms that match."""
        preferred = self._preferred + pod.preferred_nodes
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
        if not isinstance(change.new, NodeInfo):
            return True
        before = isinstance(change.old, NodeInfo) and self._accepts(pod, change.old)
        return self._accepts(pod, change.new) and not before

    def _accepts(self, pod: PodInfo, node: NodeInfo) -> bool:
        name, labels = node.name, node.labels
        return self._enforced.matches(name, labels) and pod.required_nodes.matches(name, labels)
