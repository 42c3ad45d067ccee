"""TaintToleration: taints repel pods that do not tolerate them; PreferNoSchedule taints lower the score."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery.meta import taints
from controlplane.scheduler.framework import (
    FITS,
    Change,
    Filter,
    Score,
    Verdict,
    node_facts_changed,
    normalize_to_max,
    other_tolerations,
)
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot


class TaintToleration:
    """Filter on NoSchedule and NoExecute taints, score on PreferNoSchedule taints."""

    name = "TaintToleration"
    judges_alone = True
    scores_alone = False

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the first taint that the pod does not tolerate."""
        tolerations = pod.tolerations

        def verdict(node: NodeInfo) -> Verdict:
            if not node.taints:
                return FITS
            taint = taints.first_untolerated(node.taints, tolerations)
            if taint is None:
                return FITS
            reason = f"node(s) had untolerated taint {{{taint.get('key', '')}: {taint.get('value') or ''}}}"
            return Verdict(self.name, (reason,), resolvable=False)

        return verdict

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Count the PreferNoSchedule taints that are not tolerated; fewer is better."""
        if not any(node.taints for node in nodes):
            return None
        soft = [t for t in pod.tolerations if not t.get("effect") or t["effect"] == taints.PREFER_NO_SCHEDULE]

        def score(node: NodeInfo) -> int:
            return sum(
                1
                for taint in node.taints
                if taint.get("effect") == taints.PREFER_NO_SCHEDULE
                and not any(taints.tolerates(t, taint) for t in soft)
            )

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        """The node with the most intolerable taints gets 0, one with none 100."""
        return normalize_to_max(scores, reverse=True)

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """A node whose taints are now all tolerated, and were not before, helps; so do other tolerations."""
        if other_tolerations(change):
            return True
        if not node_facts_changed(change, lambda node: node.taints):
            return False
        if not isinstance(change.new, NodeInfo):
            return True
        return _repels(change.old, pod) and not _repels(change.new, pod)


def _repels(node: object, pod: PodInfo) -> bool:
    """One that is not there takes nobody either."""
    return not isinstance(node, NodeInfo) or taints.first_untolerated(node.taints, pod.tolerations) is not None
