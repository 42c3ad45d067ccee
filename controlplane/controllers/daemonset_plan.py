"""Which nodes run a DaemonSet's pod, and which pods to create or delete for it. Pure (pkg/controller/daemon)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import DAEMONSETS
from apimachinery.meta import objects, pods, taints
from apimachinery.meta.node_selector import RequiredNodes
from controlplane.controllers.deployment_plan import scaled_value
from controlplane.controllers.pod_control import render_pod
from controlplane.controllers.revisions import HASH_LABEL

Object = dict[str, Any]
_Sides = tuple[list[Object], list[Object]]  # of one node: its pods of the present revision, and its others

BURST = 250
"""Pods created or deleted in one reconciliation."""
GENERATION_LABEL = "pod-template-generation"
"""Which of the templates that there have been a pod was made of, as the API server counts them."""
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)

# What every daemon pod tolerates: it belongs to the node, so trouble of the node must not move it.
_TOLERATED: tuple[tuple[str, str], ...] = (
    (taints.NOT_READY, taints.NO_EXECUTE),
    (taints.UNREACHABLE, taints.NO_EXECUTE),
    (taints.DISK_PRESSURE, taints.NO_SCHEDULE),
    (taints.MEMORY_PRESSURE, taints.NO_SCHEDULE),
    (taints.PID_PRESSURE, taints.NO_SCHEDULE),
    (taints.UNSCHEDULABLE, taints.NO_SCHEDULE),
)


@dataclass(frozen=True, slots=True)
class DaemonPlan:
    """create: nodes that lack a pod. delete: pods to remove. failed: those of `delete` that failed by themselves."""

    create: tuple[str, ...] = ()
    delete: tuple[Object, ...] = ()
    failed: tuple[Object, ...] = ()


def tolerations(spec: Mapping[str, Any]) -> list[Object]:
    """Return the pod's tolerations with those that every daemon pod has, which take the place of limited ones."""
    found: list[Object] = list(spec.get("tolerations") or ())
    standard = list(_TOLERATED)
    if spec.get("hostNetwork"):
        standard.append((taints.NETWORK_UNAVAILABLE, taints.NO_SCHEDULE))
    for key, effect in standard:
        wanted = {"key": key, "operator": "Exists", "effect": effect}
        same = [_without_limit(each) == wanted for each in found]
        found = [wanted if is_same else each for each, is_same in zip(found, same, strict=True)]
        if not any(same):
            found.append(wanted)
    return found


def _without_limit(toleration: Object) -> Object:
    return {field: value for field, value in toleration.items() if field != "tolerationSeconds" and value}


def placement(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """Return (should run on the node, a pod that is there may stay)."""
    spec = (daemon_set["spec"].get("template") or {}).get("spec") or {}
    name, labels = objects.name(node), objects.labels(node)
    if spec.get("nodeName") and spec["nodeName"] != name:
        return False, False
    if not RequiredNodes(spec).matches(name, labels):
        return False, False
    tolerated = tolerations(spec)
    node_taints = (node.get("spec") or {}).get("taints") or ()
    fits = taints.first_untolerated(node_taints, tolerated) is None
    stays = taints.first_untolerated(node_taints, tolerated, (taints.NO_EXECUTE,)) is None
    return fits, stays


def target_node(pod: Object) -> str:
    """Return the node a daemon pod is on or, not yet bound, is meant for."""
    if bound := pods.node_name(pod):
        return bound
    names = RequiredNodes(pod.get("spec") or {}).names
    return next(iter(names)) if names and len(names) == 1 else ""


def by_node(owned: Iterable[Object]) -> dict[str, list[Object]]:
    """Group pods by the node they are on or meant for, the oldest first, those that are bound before others.

    A pod that has ended and is deleted may be kept by a finalizer, and is nothing to wait for; one that is meant for no
    node is somebody else's work.
    """
    found: dict[str, list[Object]] = {}
    for pod in sorted(owned, key=_rank):
        node = target_node(pod)
        if node and not (pods.is_terminal(pod) and objects.is_deleting(pod)):
            found.setdefault(node, []).append(pod)
    return found


def render_daemon_pod(daemon_set: Object, node: str, revision_hash: str) -> Object:
    """Return the pod for one node: bound to it by affinity, for the scheduler to place (KEP-548)."""
    pod = render_pod(daemon_set["spec"].get("template") or {}, daemon_set, DAEMONSETS)
    labels = pod["metadata"]["labels"]
    generation = (daemon_set["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION) or ""
    if _NUMBER.fullmatch(generation):
        labels[GENERATION_LABEL] = str(int(generation))
    labels[HASH_LABEL] = revision_hash
    spec = pod["spec"]
    spec["tolerations"] = tolerations(spec)
    affinity = deepcopy(spec.get("affinity") or {})
    node_affinity = affinity.setdefault("nodeAffinity", {})
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    # The set's own terms have been checked for this node; the pod is pinned in their stead.
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    spec["affinity"] = affinity
    return pod


def plan_pods(
    daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object], revision_hash: str, now: datetime
) -> DaemonPlan:
    """Compare nodes with pods: one running pod where it should be, none elsewhere."""
    create: list[str] = []
    delete: list[Object] = []
    failed: list[Object] = []
    grouped = by_node(owned)
    known = set()
    surge = max_surge(daemon_set, len(nodes)) > 0
    for node in nodes:
        name = objects.name(node)
        known.add(name)
        here = [pod for pod in grouped.get(name, ()) if not objects.is_deleting(pod)]
        run, stay = placement(daemon_set, node)
        living = [pod for pod in here if not pods.is_terminal(pod)]
        # With surge nobody waits for the old pod to be gone.
        if run and not (living if surge else grouped.get(name)):
            create.append(name)
        if not here:
            continue
        if not stay:
            delete += here
            continue
        broken = [pod for pod in here if pods.phase(pod) == "Failed"]
        failed += broken
        # A daemon has not done its work when it ends, well or not: as when its node is shut down.
        delete += [pod for pod in here if pods.is_terminal(pod)]
        delete += _outlived(daemon_set, living, revision_hash, now) if surge else living[1:]
    # Unbound pods for nodes that are gone.
    for name, stray in grouped.items():
        if name not in known:
            delete += [pod for pod in stray if not pods.node_name(pod) and not objects.is_deleting(pod)]
    return DaemonPlan(tuple(create[:BURST]), tuple(delete[:BURST]), tuple(failed))


def _outlived(daemon_set: Object, living: Sequence[Object], revision_hash: str, now: datetime) -> list[Object]:
    """Return which of a node's pods go during an update with surge.

    One of the present revision and one of another stay side by side as long as the other is ready and ours is not
    available.
    """
    new = [pod for pod in living if objects.labels(pod).get(HASH_LABEL) == revision_hash]
    old = [pod for pod in living if objects.labels(pod).get(HASH_LABEL) != revision_hash]
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
    replaced = new and old and (not pods.is_ready(old[0]) or pods.available_in(new[0], min_ready, now) == 0)
    return [*new[1:], *(old if replaced else old[1:])]


def plan_rolling(
    daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object], revision_hash: str, now: datetime
) -> DaemonPlan:
    """Return the next step of a rolling update: old pods to delete or, with maxSurge, nodes to start a new pod on."""
    grouped = by_node(owned)
    wanted = [objects.name(node) for node in nodes if placement(daemon_set, node)[0]]
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)

    def available(pod: Object) -> bool:
        return pods.available_in(pod, min_ready, now) == 0

    # A pod that may only stay, on a node that takes no new ones, is not left behind with the old template either.
    places = {name: _sides(grouped.get(name, ()), revision_hash) for name in dict.fromkeys([*wanted, *grouped])}
    surge = max_surge(daemon_set, len(wanted))
    if surge:
        return _plan_surge(places, set(wanted), surge, available)
    at_once: list[Object] = []
    candidates: list[Object] = []
    down = 0
    for new, old in places.values():
        if not any(available(pod) for pod in (*new, *old)):
            # Unavailable anyway: exchanging it costs nothing.
            down += 1
            at_once += old
        else:
            candidates += old
    left = max(0, max_unavailable(daemon_set, len(wanted)) - down)
    return DaemonPlan((), tuple(at_once + candidates[:left]))


def _sides(here: Iterable[Object], revision_hash: str) -> _Sides:
    """Return a node's pods that stay: those of the present revision, and the others."""
    staying = [pod for pod in here if not objects.is_deleting(pod)]
    new = [pod for pod in staying if objects.labels(pod).get(HASH_LABEL) == revision_hash]
    return new, [pod for pod in staying if objects.labels(pod).get(HASH_LABEL) != revision_hash]


def _plan_surge(
    places: Mapping[str, _Sides], wanted: Set[str], surge: int, available: Callable[[Object], bool]
) -> DaemonPlan:
    """Start new pods beside old ones, and remove the old ones whose successor is available.

    What serves on a node that takes no new pods goes when as many others serve as there should be.
    """
    create: list[str] = []
    candidates: list[str] = []
    delete: list[Object] = []
    leaving: list[Object] = []
    surging = serving = 0
    for name, (new, old) in places.items():
        serves = any(available(pod) for pod in old or new)
        serving += serves
        if new and old:
            if any(available(pod) for pod in new):
                delete += old
            else:
                surging += 1
        elif old and name not in wanted:
            (leaving if serves else delete).extend(old)
        elif old:
            (candidates if serves else create).append(name)
    create += candidates[: max(0, surge - surging)]
    delete += leaving[: max(0, serving - len(wanted))]
    return DaemonPlan(tuple(create), tuple(delete))


def max_unavailable(daemon_set: Object, desired: int) -> int:
    """How many nodes may lack an available pod during an update; at least one when there is no surge."""
    rolling = _rolling(daemon_set)
    value = scaled_value(rolling.get("maxUnavailable", 1), desired, round_up=True)
    return value or (0 if max_surge(daemon_set, desired) else 1)


def max_surge(daemon_set: Object, desired: int) -> int:
    """How many nodes may have an old and a new pod during an update."""
    return scaled_value(_rolling(daemon_set).get("maxSurge", 0), desired, round_up=True)


def _rolling(daemon_set: Object) -> Mapping[str, Any]:
    return (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}


def compute_status(
    daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object], revision_hash: str, now: datetime
) -> Object:
    """Count nodes: where it should run, where it does, where ready, available, of the present revision."""
    grouped = by_node(owned)
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
    desired = current = misscheduled = ready = available = updated = 0
    for node in nodes:
        run, _ = placement(daemon_set, node)
        here = grouped.get(objects.name(node), ())
        if not run:
            misscheduled += bool(here)
            continue
        desired += 1
        if not here:
            continue
        current += 1
        pod = here[0]  # the oldest speaks for the node: with surge the old one, as long as it is there
        ready += pods.is_ready(pod)
        available += pods.available_in(pod, min_ready, now) == 0
        updated += objects.labels(pod).get(HASH_LABEL) == revision_hash
    status: Object = {
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": daemon_set["metadata"].get("generation", 0),
    }
    # Go's omitempty.
    optional = {
        "updatedNumberScheduled": updated, "numberAvailable": available, "numberUnavailable": desired - available,
    }  # fmt: skip
    status.update({key: value for key, value in optional.items() if value})
    for carried in ("collisionCount", "conditions"):
        if (daemon_set.get("status") or {}).get(carried) is not None:
            status[carried] = daemon_set["status"][carried]
    return status


def _rank(pod: Object) -> tuple[bool, str, str]:
    return (not pods.node_name(pod), pod["metadata"].get("creationTimestamp") or "", objects.name(pod))
