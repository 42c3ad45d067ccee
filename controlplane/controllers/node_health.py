"""When a node counts as dead, what that makes of its conditions and taints, and how fast its pods may be evicted. Pure.

(pkg/controller/nodelifecycle; KEP-589 for the leases.) Durations are monotonic: what counts is how long *we* have seen
nothing new, so neither our clock's jumps nor the node's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from apimachinery.meta import objects, pods, taints

Object = dict[str, Any]

# Conditions that become Unknown when the node is silent.
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")

_CONDITION_TAINTS: tuple[tuple[str, str, str], ...] = (
    ("Ready", "False", taints.NOT_READY),
    ("Ready", "Unknown", taints.UNREACHABLE),
    ("MemoryPressure", "True", taints.MEMORY_PRESSURE),
    ("DiskPressure", "True", taints.DISK_PRESSURE),
    ("NetworkUnavailable", "True", taints.NETWORK_UNAVAILABLE),
    ("PIDPressure", "True", taints.PID_PRESSURE),
)
_EXCLUDED = "node.kubernetes.io/exclude-disruption"
# Labels of before 1.14, and those whose value they repeat (labelReconcileInfo).
_OLD_LABELS = (("beta.kubernetes.io/os", "kubernetes.io/os"), ("beta.kubernetes.io/arch", "kubernetes.io/arch"))
_OURS = frozenset(key for _, _, key in _CONDITION_TAINTS) | {taints.UNSCHEDULABLE}


@dataclass(frozen=True, slots=True)
class Heard:
    """The last sign of life: what it was, and when we saw it (monotonic seconds)."""

    sign: tuple[str, str]
    at: float
    ever: bool


class Zone(Enum):
    """How much of a zone is down."""

    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


def hear(node: Object, lease: Object | None, before: Heard | None, now: float) -> Heard:
    """Return the last sign of life after looking at the node's status heartbeat and its lease's renewal."""
    ready = pods.condition(node, "Ready")
    sign = (
        (ready or {}).get("lastHeartbeatTime") or "",
        ((lease or {}).get("spec") or {}).get("renewTime") or "",
    )
    if before is None or sign != before.sign:
        return Heard(sign, now, ever=ready is not None)
    return before


def is_silent(heard: Heard, now: float, grace: float, startup_grace: float) -> bool:
    """Tell whether the node has said nothing for its grace period, the longer one before it ever said anything."""
    return now - heard.at > (grace if heard.ever else startup_grace)


def unknown_conditions(node: Object, stamp: str) -> list[Object]:
    """Return the conditions of a silent node that must be written; empty when they are Unknown already."""
    changed = []
    for kind in _WATCHED:
        current = pods.condition(node, kind)
        if current is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
            changed.append(_unknown(kind, reason, message, stamp, node["metadata"].get("creationTimestamp") or stamp))
        elif current.get("status") != "Unknown":
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            changed.append(_unknown(kind, reason, message, stamp, current.get("lastHeartbeatTime") or stamp))
    return changed


def _unknown(kind: str, reason: str, message: str, stamp: str, heartbeat: str) -> Object:
    return {
        "type": kind,
        "status": "Unknown",
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": heartbeat,
        "lastTransitionTime": stamp,
    }


def has_spoken(node: Object) -> bool:
    """Whether the node has a Ready condition, from its kubelet or, after its startup grace, from us."""
    return pods.condition(node, "Ready") is not None


def ready_status(node: Object) -> str:
    """True, False or Unknown; Unknown without a Ready condition."""
    return str((pods.condition(node, "Ready") or {}).get("status") or "Unknown")


def plan_no_schedule(node: Object, stamp: str) -> list[Object] | None:
    """Return all taints the node should have after its conditions and its cordon; None when it has them."""
    current = (node.get("spec") or {}).get("taints") or []
    wanted_keys = [
        key for kind, status, key in _CONDITION_TAINTS
        if (pods.condition(node, kind) or {}).get("status") == status
    ]  # fmt: skip
    if (node.get("spec") or {}).get("unschedulable"):
        wanted_keys.append(taints.UNSCHEDULABLE)
    have = {t["key"] for t in current if t.get("effect") == taints.NO_SCHEDULE and t["key"] in _OURS}
    if have == set(wanted_keys):
        return None
    kept = [t for t in current if not (t.get("effect") == taints.NO_SCHEDULE and t["key"] in _OURS - set(wanted_keys))]
    new = [key for key in wanted_keys if key not in have]
    return kept + [{"key": key, "effect": taints.NO_SCHEDULE, "timeAdded": stamp} for key in new]


def plan_labels(node: Object) -> dict[str, str]:
    """Return the old labels that do not repeat the present ones, as they should be."""
    have = objects.labels(node)
    return {old: have[new] for old, new in _OLD_LABELS if new in have and have.get(old) != have[new]}


def plan_no_execute(node: Object, *, evict: bool, stamp: str) -> list[Object] | None:
    """Return all taints after the one that evicts was put, exchanged or taken off; None when nothing changes.

    evict: whether eviction from this node may begin now; a taint that is there already stays in any case while the
    node is not Ready.
    """
    current = (node.get("spec") or {}).get("taints") or []
    ours = {
        t["key"] for t in current
        if t.get("effect") == taints.NO_EXECUTE and t["key"] in (taints.NOT_READY, taints.UNREACHABLE)
    }  # fmt: skip
    wanted = {"True": None, "False": taints.NOT_READY}.get(ready_status(node), taints.UNREACHABLE)
    if wanted in ours and len(ours) == 1:
        return None
    if wanted is not None and not ours and not evict:
        return None
    if wanted is None and not ours:
        return None
    kept = [t for t in current if not (t.get("effect") == taints.NO_EXECUTE and t["key"] in ours)]
    if wanted is None:
        return kept
    return [*kept, {"key": wanted, "effect": taints.NO_EXECUTE, "timeAdded": stamp}]


def readiness_by_zone(nodes: Iterable[Object]) -> dict[str, list[bool]]:
    """Return for each zone which of its nodes are Ready; without those that a label takes out of the judgement."""
    zones: dict[str, list[bool]] = {}
    for node in nodes:
        if _EXCLUDED not in (node["metadata"].get("labels") or {}):
            zones.setdefault(zone_of(node), []).append(ready_status(node) == "True")
    return zones


def zone_state(ready: Sequence[bool], unhealthy: float) -> Zone:
    """Judge a zone by which of its nodes are Ready: FULL when none is, PARTIAL when more than two, and at least the
    share `unhealthy`, are not."""
    down = ready.count(False)
    if ready and down == len(ready):
        return Zone.FULL
    if down > 2 and down / len(ready) >= unhealthy:
        return Zone.PARTIAL
    return Zone.NORMAL


def eviction_rates(
    zones: Mapping[str, Sequence[bool]],
    *,
    normal: float,
    secondary: float = 0.01,
    large: int = 50,
    unhealthy: float = 0.55,
) -> dict[str, float]:
    """Return for each zone how many nodes a second may begin to be evicted.

    When every node of the cluster looks dead it is more likely we who are cut off: then nobody is evicted. A zone that
    is wholly down while others live is evicted at the normal rate; a partly disrupted one slowly, or not at all when it
    is small (`large` nodes or fewer).
    """
    states = {zone: zone_state(ready, unhealthy) for zone, ready in zones.items()}
    if states and all(state is Zone.FULL for state in states.values()):
        return dict.fromkeys(states, 0.0)
    return {
        zone: (secondary if len(zones[zone]) > large else 0.0) if state is Zone.PARTIAL else normal
        for zone, state in states.items()
    }


def zone_of(node: Object) -> str:
    """Return region and zone as one key; empty for a node without them."""
    labels = node["metadata"].get("labels") or {}
    region = labels.get("topology.kubernetes.io/region", "")
    zone = labels.get("topology.kubernetes.io/zone", "")
    return f"{region}:\0:{zone}" if region or zone else ""
