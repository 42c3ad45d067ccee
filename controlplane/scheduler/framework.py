"""The plugin protocol: filters refuse nodes with reasons, scorers rank the rest (upstream's scheduling framework).

A plugin is asked once per pod (`filter_for`, `score_for`) and answers with a function that judges one node. Returning
None means "nothing to judge for this pod", which costs nothing per node. What upstream keeps in CycleState lives in the
closure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from operator import add
from typing import Any, Protocol, runtime_checkable

from controlplane.scheduler.node_info import NodeInfo, remember
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import Candidates
from controlplane.scheduler.snapshot import Snapshot

MAX_SCORE = 100
ENOUGH = Candidates()
# Shapes of pods known at once; beyond, all are forgotten.
_SHAPES = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """One plugin's judgement of one node.

    resolvable: False when evicting other pods from the node cannot change the judgement (upstream's
        UnschedulableAndUnresolvable), so preemption need not look there.
    whole_pod: True when it is no matter of this node: the pod can go nowhere (upstream's PreFilter refusals).
    """

    plugin: str
    reasons: tuple[str, ...] = ()
    resolvable: bool = True
    whole_pod: bool = False

    @property
    def fits(self) -> bool:
        """True when the plugin has nothing against the node."""
        return not self.reasons


FITS = Verdict("")

Filter = Callable[[NodeInfo], Verdict]
Score = Callable[[NodeInfo], int]


class What(Enum):
    """The kinds of change that may let a waiting pod in."""

    NODE_ADD = "Node/Add"
    NODE_UPDATE = "Node/Update"
    NODE_DELETE = "Node/Delete"
    POD_ADD = "AssignedPod/Add"
    POD_UPDATE = "AssignedPod/Update"
    POD_DELETE = "AssignedPod/Delete"
    ITSELF = "UnscheduledPod/Update"
    NAMESPACE = "Namespace"
    WORKLOAD = "Service"
    CLAIM = "PersistentVolumeClaim"
    VOLUME = "PersistentVolume"
    STORAGE_CLASS = "StorageClass"
    CSI = "CSINode"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened in the cluster, for the queueing hints (KEP-4247).

    old, new: NodeInfo before and after for a node change (pods not included), PodInfo for a change of a pod with a node
        or, as ITSELF, of the one that waits.
    key: of the object, for every other change.
    """

    what: What
    old: NodeInfo | PodInfo | None = None
    new: NodeInfo | PodInfo | None = None
    key: str = ""


class PreBindFailed(Exception):
    """What a pod needs before it is bound could not be had: the choice is taken back. The text goes into the event."""


@runtime_checkable
class FilterPlugin(Protocol):
    """Refuses nodes.

    judges_alone: whether the judgement follows from the pod's `shape` and the node alone. Then it is kept until the
        node changes, and pods of one shape share it.
    """

    name: str
    judges_alone: bool

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Return the judge of nodes for this pod, or None when every node passes."""

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """Tell whether a change may reverse this plugin's refusal of `pod`. When in doubt, True."""


@runtime_checkable
class PreFilterPlugin(Protocol):
    """Refuses pods that can go nowhere, before any node is looked at."""

    name: str

    def refuse(self, pod: PodInfo, snapshot: Snapshot) -> Verdict | None:
        """Return the refusal of the whole pod, or None."""


@runtime_checkable
class ReservePlugin(Protocol):
    """Has something to do between the choice of a node and the binding."""

    name: str

    def reserve(self, pod: PodInfo, node: NodeInfo) -> bool:
        """Count what the choice takes, at once. Returns whether `pre_bind` has work."""

    def unreserve(self, pod: PodInfo) -> None:
        """Take back what `reserve` counted. Also for pods it was never asked about."""

    async def pre_bind(self, pod: PodInfo, node: NodeInfo, gone: Callable[[], bool]) -> None:
        """Do the work. gone: whether the pod was deleted meanwhile. Raises PreBindFailed."""


@runtime_checkable
class ScorePlugin(Protocol):
    """Ranks nodes that passed every filter.

    scores_alone: whether the score (not the normalized one) follows from the pod's `shape` and the node alone, and
        whether there is a scorer from the shape.
    """

    name: str
    scores_alone: bool

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Return the scorer for this pod among the feasible `nodes`, or None when all are equal to this plugin."""

    def normalize(self, scores: list[int]) -> list[int]:
        """Bring raw scores (one per feasible node, in order) into 0 to MAX_SCORE."""


def normalize_to_max(scores: list[int], *, reverse: bool = False) -> list[int]:
    """Scale so that the largest becomes MAX_SCORE; with `reverse`, so that the largest becomes 0."""
    highest = max(scores, default=0)
    if highest == 0:
        return [MAX_SCORE] * len(scores) if reverse else scores
    scaled = [MAX_SCORE * score // highest for score in scores]
    return [MAX_SCORE - score for score in scaled] if reverse else scaled


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of the feasible nodes, in their order.

    totals: per node, the sum over plugins. parts: per plugin, each node's normalized score times the plugin's weight.
    """

    nodes: Sequence[str] = ()
    totals: Sequence[int] = ()
    parts: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def of(self, node: str) -> dict[str, int]:
        """Return one node's score by plugin. Raises ValueError for a node that was not feasible."""
        index = self.nodes.index(node)
        return {plugin: scores[index] for plugin, scores in self.parts.items()}

    def plus(self, name: str, scores: Sequence[int]) -> Scores:
        """With another part."""
        return Scores(self.nodes, list(map(add, self.totals, scores)), {**self.parts, name: scores})

    def best(self) -> list[str]:
        """Return the nodes with the highest total."""
        highest = max(self.totals)
        return [node for node, total in zip(self.nodes, self.totals, strict=True) if total == highest]


class Framework:
    """One profile: filters in order, scorers with weights (schedulerName selects the profile).

    preempts: whether pods of lower priority may be evicted for one that fits nowhere; candidates: how many nodes are
    looked for then. percentage: of nodes to score, None for what holds for all profiles.
    """

    def __init__(
        self,
        scheduler_name: str,
        filters: Sequence[FilterPlugin],
        scorers: Sequence[tuple[ScorePlugin, int]],
        *,
        preempts: bool = True,
        candidates: Candidates = ENOUGH,
        percentage: int | None = None,
    ) -> None:
        self.scheduler_name = scheduler_name
        self.preempts, self.candidates, self.percentage = preempts, candidates, percentage
        self.filters = tuple(filters)
        self.scorers = tuple(scorers)
        self._by_name = {plugin.name: plugin for plugin in self.filters}
        self._alone = tuple(plugin for plugin in self.filters if plugin.judges_alone)
        self._beside = tuple(plugin for plugin in self.filters if not plugin.judges_alone)
        # What nodes remember judgements and scores by: of this profile, for one shape of pods.
        self._shapes: dict[tuple[object, ...], object] = {}
        self._prefilters = tuple(plugin for plugin in self.filters if isinstance(plugin, PreFilterPlugin))
        self._reservers = tuple(plugin for plugin in self.filters if isinstance(plugin, ReservePlugin))

    def judge(self, pod: PodInfo, snapshot: Snapshot) -> Filter:
        """Return the function that asks every filter about one node and stops at the first refusal.

        Those that judge by the node alone come first; asked again about a node that did not change, they cost a look
        into what it remembers."""
        nowhere = self._refuse(pod, snapshot)
        if nowhere is not None:
            return lambda node: nowhere
        shape, alone = self._shape(pod), cache(lambda: _first_of(_asked(self._alone, pod, snapshot)))
        beside = _asked(self._beside, pod, snapshot)
        rest = _first_of(beside)

        def verdict(node: NodeInfo) -> Verdict:
            found: Verdict | None = node.judged.get(shape)
            if found is None:
                found = remember(node.judged, shape, alone()(node))
            return found if found.reasons or not beside else rest(node)

        return verdict

    def explain(self, pod: PodInfo, snapshot: Snapshot, node: NodeInfo) -> list[Verdict]:
        """Return every refusal of one node, not only the first (`kubelab why`)."""
        nowhere = self._refuse(pod, snapshot)
        if nowhere is not None:
            return [nowhere]
        return [found for check in _asked(self.filters, pod, snapshot) if (found := check(node)).reasons]

    def reserve(self, pod: PodInfo, node: NodeInfo) -> list[ReservePlugin]:
        """Count what the choice of a node takes. Returns the plugins that have work before the binding."""
        return [plugin for plugin in self._reservers if plugin.reserve(pod, node)]

    def unreserve(self, pod: PodInfo) -> None:
        """Take the choice back."""
        for plugin in self._reservers:
            plugin.unreserve(pod)

    def _refuse(self, pod: PodInfo, snapshot: Snapshot) -> Verdict | None:
        refusals = (plugin.refuse(pod, snapshot) for plugin in self._prefilters)
        return next((verdict for verdict in refusals if verdict is not None), None)

    def _shape(self, pod: PodInfo) -> object:
        if len(self._shapes) > _SHAPES:
            self._shapes.clear()
        return self._shapes.setdefault(pod.shape, object())

    def score(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Scores:
        """Score the feasible nodes. Costs O(plugins that care x nodes); what a node remembers costs next to nothing."""
        if not nodes:
            return Scores()
        scorers = [
            (plugin, weight, scorer)
            for plugin, weight in self.scorers
            if (scorer := plugin.score_for(pod, snapshot, nodes)) is not None
        ]
        remembered = self._scored_alone(pod, [scorer for plugin, _, scorer in scorers if plugin.scores_alone], nodes)
        parts: dict[str, list[int]] = {}
        for plugin, weight, scorer in scorers:
            raw = next(remembered) if plugin.scores_alone else [scorer(node) for node in nodes]
            scores = plugin.normalize(raw)
            parts[plugin.name] = scores if weight == 1 else [score * weight for score in scores]
        totals = list(map(sum, zip(*parts.values(), strict=True))) if parts else [0] * len(nodes)
        return Scores([node.name for node in nodes], totals, parts)

    def _scored_alone(self, pod: PodInfo, scorers: Sequence[Score], nodes: Sequence[NodeInfo]) -> Iterator[list[int]]:
        """Each scorer's scores of the nodes."""
        if not scorers:
            return iter(())
        shape = self._shape(pod)
        rows = [
            node.scored.get(shape) or remember(node.scored, shape, tuple(scorer(node) for scorer in scorers))
            for node in nodes
        ]
        return map(list, zip(*rows, strict=True))

    def may_help(self, pod: PodInfo, refused_by: Iterable[str], change: Change) -> bool:
        """Tell whether any plugin that refused `pod` says that the change may help."""
        for name in refused_by:
            plugin = self._by_name.get(name)
            if plugin is None or plugin.may_help(pod, change):
                return True
        return False


def _asked(plugins: Sequence[FilterPlugin], pod: PodInfo, snapshot: Snapshot) -> list[Filter]:
    checks = (plugin.filter_for(pod, snapshot) for plugin in plugins)
    return [check for check in checks if check is not None]


def _first_of(checks: Sequence[Filter]) -> Filter:
    """The first refusal."""

    def verdict(node: NodeInfo) -> Verdict:
        for check in checks:
            found = check(node)
            if found.reasons:
                return found
        return FITS

    return verdict


def relabelled(change: Change) -> bool:
    """Tell whether the labels of the pod that changed are others now."""
    before, after = change.old, change.new
    return isinstance(before, PodInfo) and isinstance(after, PodInfo) and before.labels != after.labels


def other_tolerations(change: Change) -> bool:
    """Tell whether the waiting pod has other tolerations now."""
    before, after = change.old, change.new
    if change.what is not What.ITSELF or not isinstance(before, PodInfo) or not isinstance(after, PodInfo):
        return False
    return before.tolerations != after.tolerations


def node_facts_changed(change: Change, facts: Callable[[NodeInfo], Any]) -> bool:
    """Tell whether a node is new or the given facts of it changed: the usual queueing hint."""
    if change.what is What.NODE_ADD:
        return True
    if change.what is not What.NODE_UPDATE:
        return False
    if not isinstance(change.old, NodeInfo) or not isinstance(change.new, NodeInfo):
        return True
    return bool(facts(change.old) != facts(change.new))
