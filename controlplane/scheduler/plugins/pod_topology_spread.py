"""PodTopologySpread: keep a workload's pods evenly spread over topology domains (KEP-895, KEP-1258, KEP-3022).

Hard constraints (DoNotSchedule) filter; soft ones (ScheduleAnyway) score. A pod without constraints gets the system
defaults, soft ones over hostname and zone, for the pods of its Services and its workload.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from apimachinery.meta import taints
from apimachinery.meta.labels import NOTHING, Selector
from controlplane.scheduler.framework import (
    FITS,
    MAX_SCORE,
    Change,
    Filter,
    Score,
    Verdict,
    What,
    node_facts_changed,
    relabelled,
)
from controlplane.scheduler.node_info import NodeInfo, remember
from controlplane.scheduler.pod_info import PodInfo, SpreadConstraint
from controlplane.scheduler.snapshot import Snapshot

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"

# The mark of a node that lacks a topology label of the pod's own soft constraints: it gets the lowest score.
_IGNORED = -1


# What upstream applies to pods that bring none; the selector is each pod's own.
_SYSTEM = (
    SpreadConstraint(max_skew=3, topology_key=HOSTNAME, hard=False, selector=NOTHING),
    SpreadConstraint(max_skew=5, topology_key=ZONE, hard=False, selector=NOTHING),
)


class PodTopologySpread:
    """Filter on hard constraints, score on soft ones.

    defaults: for pods without constraints of their own, over the pods of their Services and workload; None for the
        system's.
    """

    name = "PodTopologySpread"
    judges_alone = False
    scores_alone = False

    def __init__(self, defaults: Sequence[SpreadConstraint] | None = None) -> None:
        self._system = defaults is None
        self._defaults = _SYSTEM if defaults is None else tuple(defaults)
        self._hard_defaults = any(each.hard for each in self._defaults)

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Count matching pods per domain once, O(nodes + pods), then judge each node in O(constraints)."""
        constraints = self._constraints(pod, snapshot) if self._hard_defaults else pod.spread_constraints
        hard = [c for c in constraints if c.hard]
        if not hard:
            return None
        keys = [c.topology_key for c in hard]
        counts: list[dict[str, int]] = [{} for _ in hard]
        matching = [_matching(c.selector, pod.namespace) for c in hard]
        for node in snapshot.nodes:
            if not all(key in node.labels for key in keys):
                continue
            for constraint, count, matches in zip(hard, counts, matching, strict=True):
                if _counts(constraint, pod, node):
                    value = node.labels[constraint.topology_key]
                    count[value] = count.get(value, 0) + matches(node)
        # With fewer domains than minDomains the global minimum counts as zero.
        floors = [
            min(count.values(), default=0) if len(count) >= constraint.min_domains else 0
            for constraint, count in zip(hard, counts, strict=True)
        ]
        itself = [1 if c.selector.matches(pod.labels) else 0 for c in hard]
        skewed = Verdict(self.name, ("node(s) didn't match pod topology spread constraints",))
        missing = Verdict(
            self.name,
            ("node(s) didn't match pod topology spread constraints (missing required label)",),
            resolvable=False,
        )

        def verdict(node: NodeInfo) -> Verdict:
            for index, constraint in enumerate(hard):
                value = node.labels.get(constraint.topology_key)
                if value is None:
                    return missing
                if counts[index].get(value, 0) + itself[index] - floors[index] > constraint.max_skew:
                    return skewed
            return FITS

        return verdict

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Score by the number of matching pods in the node's domains; fewer is better."""
        soft = [c for c in self._constraints(pod, snapshot) if not c.hard]
        if not soft or not nodes:
            return None
        keys = [c.topology_key for c in soft]
        # Nodes need every label, but for the system's defaults: without a zone, pods still spread over hosts.
        needed = keys if pod.spread_constraints or not self._system else []
        ignored = {n.name for n in nodes if not all(key in n.labels for key in needed)}
        counts = [{} if c.topology_key == HOSTNAME else _domain_counts(c, pod, snapshot, nodes, needed) for c in soft]
        # Many domains make each count smaller, so a count weighs more there.
        weights = [
            math.log((len(nodes) - len(ignored) if c.topology_key == HOSTNAME else len(count)) + 2)
            for c, count in zip(soft, counts, strict=True)
        ]

        on_node = [_matching(c.selector, pod.namespace) for c in soft]

        def score(node: NodeInfo) -> int:
            if node.name in ignored:
                return _IGNORED
            total = 0.0
            for constraint, count, matches, weight in zip(soft, counts, on_node, weights, strict=True):
                value = node.labels.get(constraint.topology_key)
                if value is None:
                    continue
                matching = matches(node) if constraint.topology_key == HOSTNAME else count.get(value, 0)
                total += matching * weight + (constraint.max_skew - 1)
            return round(total)

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        """The emptiest domain gets 100; nodes outside the topology get 0."""
        known = [score for score in scores if score != _IGNORED]
        low, high = min(known, default=0), max(known, default=0)
        return [
            0 if score == _IGNORED else MAX_SCORE if high == 0 else MAX_SCORE * (high + low - score) // high
            for score in scores
        ]

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """Pods of the pod's namespace that a constraint counts, its own labels, and among nodes that have every key of
        its hard constraints those whose labels or taints changed and those that are gone: with its last one goes a
        domain, perhaps the emptiest."""
        if change.what is What.ITSELF:
            return relabelled(change)
        if not pod.spread_constraints:
            return self._hard_defaults
        if change.what in (What.POD_ADD, What.POD_UPDATE, What.POD_DELETE):
            seen = [p for p in (change.old, change.new) if isinstance(p, PodInfo)]
            return any(
                p.namespace == pod.namespace and c.selector.matches(p.labels)
                for p in seen
                for c in pod.spread_constraints
            )
        keys = [constraint.topology_key for constraint in pod.spread_constraints if constraint.hard]
        nodes = [node for node in (change.old, change.new) if isinstance(node, NodeInfo)]
        if not any(all(key in node.labels for key in keys) for node in nodes):
            return False  # in no domain before or after
        return change.what is What.NODE_DELETE or node_facts_changed(change, lambda node: (node.labels, node.taints))

    def _constraints(self, pod: PodInfo, snapshot: Snapshot) -> Sequence[SpreadConstraint]:
        if pod.spread_constraints or not self._defaults:
            return pod.spread_constraints
        selector = snapshot.surroundings.owner_selector(pod)
        return [replace(each, selector=selector) for each in self._defaults] if selector is not None else ()


def _counts(constraint: SpreadConstraint, pod: PodInfo, node: NodeInfo) -> bool:
    """Tell whether the node's domain takes part (nodeAffinityPolicy and nodeTaintsPolicy)."""
    if constraint.honor_affinity and not pod.required_nodes.matches(node.name, node.labels):
        return False
    return not constraint.honor_taints or taints.first_untolerated(node.taints, pod.tolerations) is None


def _matching(selector: Selector, namespace: str) -> Callable[[NodeInfo], int]:
    """Counts a node's pods that the selector matches; pods being deleted are leaving and do not count.

    One that matches everything counts nothing. O(pods of the node) after it has changed."""
    if selector.empty:
        return lambda node: 0
    matches, question = selector.matches, f"{namespace}\0{selector.nothing}\0{selector}"

    def count(node: NodeInfo) -> int:
        known = node.counted.get(question)
        if known is None:
            pods = node.pods.values()
            found = sum(1 for p in pods if p.namespace == namespace and not p.deleting and matches(p.labels))
            known = remember(node.counted, question, found)
        return known

    return count


def _domain_counts(
    constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo], needed: Sequence[str]
) -> Mapping[str, int]:
    """Count matching pods per value of the key, over the domains that hold a feasible node.

    needed: labels without which a node does not take part. Nodes without the key are one domain where it is not."""
    key = constraint.topology_key
    count = {n.labels.get(key, ""): 0 for n in nodes if all(each in n.labels for each in needed)}
    matches = _matching(constraint.selector, pod.namespace)
    for node in snapshot.nodes:
        value = node.labels.get(key, "")
        if value in count and all(each in node.labels for each in needed) and _counts(constraint, pod, node):
            count[value] += matches(node)
    return count
