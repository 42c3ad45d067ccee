"""InterPodAffinity: pods that want to be near, or far from, other pods within a topology domain.

Symmetric: the required anti-affinity of pods already running also repels the incoming pod, and their preferred terms
count in the score. A domain is a (topology key, value) pair of node labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

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
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import AffinityTerm, Labels, PodInfo
from controlplane.scheduler.snapshot import Snapshot

Domain = tuple[str, str]


class InterPodAffinity:
    """Filter and score on pods in the same topology domain.

    hard_weight: what a required affinity term of a running pod weighs in the score of the incoming pod that it matches.
    ignores_preferences: a pod without preferred terms of its own is not scored.
    """

    name = "InterPodAffinity"
    judges_alone = False
    scores_alone = False

    def __init__(self, hard_weight: int = 1, *, ignores_preferences: bool = False) -> None:
        self._hard_weight, self._ignores_preferences = hard_weight, ignores_preferences

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Count matching pods per domain once, O(pods that matter), then judge each node in O(terms)."""
        repelled = _repelled_domains(pod, snapshot)
        if not repelled and not pod.affinity and not pod.anti_affinity:
            return None
        spaces = snapshot.surroundings.namespace_labels() if pod.has_pod_affinity else {}
        near = _matching_all(pod.affinity, snapshot, spaces)
        far = [_matching(term, snapshot, spaces) for term in pod.anti_affinity]
        # The first pod of a group that wants to be near its own kind must be let in somewhere.
        first_of_group = not near and all(term.matches(pod, spaces) for term in pod.affinity)
        lonely = Verdict(self.name, ("node(s) didn't match pod affinity rules",), resolvable=False)
        crowded = Verdict(self.name, ("node(s) didn't match pod anti-affinity rules",))
        unwelcome = Verdict(self.name, ("node(s) didn't satisfy existing pods anti-affinity rules",))

        def verdict(node: NodeInfo) -> Verdict:
            labels = node.labels
            for term in pod.affinity:
                value = labels.get(term.topology_key)
                if value is None or ((term.topology_key, value) not in near and not first_of_group):
                    return lonely
            for term, domains in zip(pod.anti_affinity, far, strict=True):
                if (term.topology_key, labels.get(term.topology_key, "\0")) in domains:
                    return crowded
            if repelled and any(labels.get(key) == value for key, value in repelled):
                return unwelcome
            return FITS

        return verdict

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Sum the weights of preferred terms, the incoming pod's and those of running pods towards it."""
        if self._ignores_preferences and not pod.preferred_affinity and not pod.preferred_anti_affinity:
            return None
        weights: dict[Domain, int] = {}
        spaces = snapshot.surroundings.namespace_labels() if pod.has_pod_affinity else {}
        own = [(t, t.weight) for t in pod.preferred_affinity] + [(t, -t.weight) for t in pod.preferred_anti_affinity]
        for node in snapshot.nodes if own else snapshot.with_affinity_pods:
            for other in (node.pods if own else node.affinity_pods).values():
                for term, weight in own:
                    if term.matches(other, spaces):
                        _count(weights, node, term, weight)
                if other.has_pod_affinity:
                    theirs = snapshot.surroundings.namespace_labels() if _asks_namespaces(other) else {}
                    for term, weight in _terms_towards(other, self._hard_weight):
                        if term.matches(pod, theirs):
                            _count(weights, node, term, weight)
        if not any(weights.values()):
            return None

        def score(node: NodeInfo) -> int:
            return sum(weight for (key, value), weight in weights.items() if node.labels.get(key) == value)

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        """Stretch from lowest to highest over 0 to 100."""
        low, high = min(scores, default=0), max(scores, default=0)
        if low == high:
            return [0] * len(scores)
        # In upstream's order and in floating point, for the same cut: 29 of 100 make 28.
        return [int(MAX_SCORE * ((score - low) / (high - low))) for score in scores]

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """Who is wanted near comes, who is not wanted goes, and the labels of nodes or of the pod itself change."""
        before, after = (each if isinstance(each, PodInfo) else None for each in (change.old, change.new))
        if change.what is What.ITSELF:
            return relabelled(change)
        if change.what is What.POD_ADD and after is not None:
            return _all_may_match(pod.affinity, after)
        if change.what is What.POD_UPDATE and before is not None and after is not None:
            wanted = _all_may_match(pod.affinity, after) and not _all_may_match(pod.affinity, before)
            return wanted or (before.labels != after.labels and _repel(pod, before))
        if change.what is What.POD_DELETE and before is not None:
            return _repel(pod, before)
        if change.what is What.POD_UPDATE:
            return True
        return change.what is What.NAMESPACE or node_facts_changed(change, lambda node: node.labels)


def _all_may_match(terms: Sequence[AffinityTerm], other: PodInfo) -> bool:
    """Whether there are terms and all speak of the pod, as far as can be told without the labels of its namespace."""
    return bool(terms) and all(_may_match(term, other) for term in terms)


def _may_match(term: AffinityTerm, other: PodInfo) -> bool:
    inside = term.all_namespaces or other.namespace in term.namespaces or term.namespace_selector is not None
    return inside and term.selector.matches(other.labels)


def _repel(one: PodInfo, other: PodInfo) -> bool:
    """Whether the anti-affinity of either may speak of the other."""
    return any(_may_match(term, other) for term in one.anti_affinity) or any(
        _may_match(term, one) for term in other.anti_affinity
    )


def _repelled_domains(pod: PodInfo, snapshot: Snapshot) -> frozenset[Domain]:
    """Return the domains where a running pod's required anti-affinity speaks of the incoming pod."""
    found: set[Domain] = set()
    for node in snapshot.with_affinity_pods:
        for other in node.affinity_pods.values():
            for term in other.anti_affinity:
                value = node.labels.get(term.topology_key)
                spaces = snapshot.surroundings.namespace_labels() if term.namespace_selector else {}
                if value is not None and term.matches(pod, spaces):
                    found.add((term.topology_key, value))
    return frozenset(found)


def _domains_where(snapshot: Snapshot, keys: Iterable[str], match: Callable[[PodInfo], bool]) -> frozenset[Domain]:
    found: set[Domain] = set()
    wanted = tuple(keys)
    for node in snapshot.nodes:
        domains = [(key, node.labels[key]) for key in wanted if key in node.labels]
        if domains and not found.issuperset(domains) and any(match(other) for other in node.pods.values()):
            found.update(domains)
    return frozenset(found)


def _matching(term: AffinityTerm, snapshot: Snapshot, spaces: Mapping[str, Labels]) -> frozenset[Domain]:
    return _domains_where(snapshot, (term.topology_key,), lambda other: term.matches(other, spaces))


def _matching_all(terms: Sequence[AffinityTerm], snapshot: Snapshot, spaces: Mapping[str, Labels]) -> frozenset[Domain]:
    """Return the domains that hold a pod which every required affinity term matches (upstream counts only those)."""
    if not terms:
        return frozenset()
    keys = {term.topology_key for term in terms}
    return _domains_where(snapshot, keys, lambda other: all(term.matches(other, spaces) for term in terms))


def _terms_towards(other: PodInfo, hard_weight: int) -> Iterable[tuple[AffinityTerm, int]]:
    for term in other.affinity:
        yield term, hard_weight
    for term in other.preferred_affinity:
        yield term, term.weight
    for term in other.preferred_anti_affinity:
        yield term, -term.weight


def _asks_namespaces(pod: PodInfo) -> bool:
    return any(term.namespace_selector is not None for term, _ in _terms_towards(pod, 0))


def _count(weights: dict[Domain, int], node: NodeInfo, term: AffinityTerm, weight: int) -> None:
    value = node.labels.get(term.topology_key)
    if value is not None:
        domain = (term.topology_key, value)
        weights[domain] = weights.get(domain, 0) + weight
