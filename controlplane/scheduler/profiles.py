"""Profiles: which rules hold for the pods of one schedulerName, and how they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.meta.labels import NOTHING
from controlplane.scheduler.pod_info import SpreadConstraint

#: Upstream's default profile of 1.32: the filters in order, the scores with their weights.
DEFAULT_FILTERS = (
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
)
DEFAULT_SCORES = (
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodeResourcesFit", 1),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
)
Spread = tuple[SpreadConstraint, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """NodeResourcesFitArgs. weights: (resource, weight). shape: (utilization in %, score 0 to 10). ignored: resources
    that do not refuse a node, groups: the same by what stands before the slash of their names."""

    strategy: str = "LeastAllocated"
    weights: tuple[tuple[str, int], ...] = (("cpu", 1), ("memory", 1))
    shape: tuple[tuple[int, int], ...] = ()
    ignored: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidates:
    """DefaultPreemptionArgs: preemption looks for so many nodes, % of all but at least `absolute`, and chooses."""

    percentage: int = 10
    absolute: int = 100


@dataclass(frozen=True, slots=True)
class Profile:
    """spread: for pods without constraints of their own; None for the system's. balanced: resources that count.

    added_affinity: node affinity of every pod, besides its own. ignores_preferences: whether preferred affinity of
    running pods counts for those only that have some, too. bind_timeout: seconds that volumes may take. percentage: of
    nodes to score, None for what holds for all profiles.
    """

    scheduler_name: str = "default-scheduler"
    filters: tuple[str, ...] = DEFAULT_FILTERS
    scores: tuple[tuple[str, int], ...] = DEFAULT_SCORES
    preempts: bool = True
    fit: Fit = Fit()
    spread: Spread | None = None
    hard_pod_affinity_weight: int = 1
    ignores_preferences: bool = False
    added_affinity: Mapping[str, Any] | None = None
    bind_timeout: float = 600.0
    candidates: Candidates = Candidates()
    percentage: int | None = None
    balanced: tuple[str, ...] = ("cpu", "memory")


DEFAULT = Profile()


def spread_constraint(said: Mapping[str, Any]) -> SpreadConstraint:
    """A default constraint: its selector is each pod's own."""
    return SpreadConstraint(
        max_skew=int(said.get("maxSkew") or 1),
        topology_key=str(said.get("topologyKey") or ""),
        hard=said.get("whenUnsatisfiable") == "DoNotSchedule",
        selector=NOTHING,
    )
