"""Which volumes a pod would get on a node. Pure (pkg/scheduler/framework/plugins/volumebinding/binder.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.meta import objects, volumes
from apimachinery.meta.labels import from_label_selector
from apimachinery.meta.quantity import parse
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.storage import Storage

Object = dict[str, Any]

NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
CONFLICT = "node(s) had volume node affinity conflict"
NO_SPACE = "node(s) did not have enough free storage"
VANISHED = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


@dataclass(frozen=True, slots=True)
class PodClaims:
    """A pod's claims: those with a volume, and those that get one with the pod's node. refusal: of the whole pod."""

    bound: tuple[Object, ...] = ()
    delayed: tuple[Object, ...] = ()
    refusal: str = ""


def sort_claims(pod: PodInfo, storage: Storage) -> PodClaims:
    """Look the pod's claims up; one that is missing, lost, going or unbound refuses the pod everywhere."""
    bound: list[Object] = []
    delayed: list[Object] = []
    unbound = False
    for _, name, ephemeral in volumes.pod_claims(pod.pod):
        claim = storage.claims.get(f"{pod.namespace}/{name}")
        if claim is None:
            missing = f'persistentvolumeclaim "{name}" not found'
            waits = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            return PodClaims(refusal=waits if ephemeral else missing)
        if (claim.get("status") or {}).get("phase") == "Lost":
            named = claim["spec"].get("volumeName") or ""
            text = f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{named}"'
            return PodClaims(refusal=text)
        if objects.is_deleting(claim):
            return PodClaims(refusal=f'persistentvolumeclaim "{name}" is being deleted')
        if ephemeral and (problem := volumes.check_ephemeral(pod.pod, claim)):
            return PodClaims(refusal=problem)
        if volumes.is_fully_bound(claim):
            bound.append(claim)
        elif volumes.waits_for_consumer(storage.storage_class(claim)) and not claim["spec"].get("volumeName"):
            delayed.append(claim)
        else:
            unbound = True
    # What is not there is said before what is not ready.
    return PodClaims(tuple(bound), tuple(delayed), UNBOUND if unbound else "")


@dataclass(frozen=True, slots=True)
class NodeVolumes:
    """What a node would do for a pod. reasons: why it cannot. static: (claim, volume). provision: claims."""

    reasons: tuple[str, ...] = ()
    static: tuple[tuple[Object, Object], ...] = ()
    provision: tuple[Object, ...] = ()


@dataclass(slots=True)
class _Found:
    static: list[tuple[Object, Object]] = field(default_factory=list)
    provision: list[Object] = field(default_factory=list)


def plan_node(claims: PodClaims, node: NodeInfo, storage: Storage) -> NodeVolumes:
    """Bound volumes must be reachable from the node; each delayed claim finds a volume there or can be provisioned."""
    reasons: list[str] = []
    found, satisfied, space = _Found(), True, True
    if claims.delayed:
        satisfied = _find_delayed(claims.delayed, node, storage, found)
        if satisfied:
            satisfied, space = _can_provision(found.provision, node, storage)
    if not satisfied:
        reasons.append(NO_VOLUME)
    for claim in claims.bound:
        volume = storage.volumes.get(claim["spec"]["volumeName"])
        reason = VANISHED if volume is None else CONFLICT if not volumes.reaches(volume, node.labels) else ""
        if reason and reason not in reasons:
            reasons.append(reason)
    if not space:
        reasons.append(NO_SPACE)
    return NodeVolumes(tuple(reasons), tuple(found.static), tuple(found.provision))


def _find_delayed(delayed: Sequence[Object], node: NodeInfo, storage: Storage, found: _Found) -> bool:
    """Fill `found`; False when a claim is already meant for another node. The smallest claim chooses first."""
    chosen: set[str] = set()
    for claim in sorted(delayed, key=volumes.requested):
        selected = objects.annotations(claim).get(volumes.SELECTED_NODE)
        if selected is not None:
            if selected != node.name:
                return False
            found.provision.append(claim)
            continue
        candidates = storage.volumes_of_class(volumes.class_name(claim))
        match = volumes.find_match(claim, candidates, node=node.labels, excluded=chosen, delayed=True)
        if match is None:
            found.provision.append(claim)
        else:
            chosen.add(objects.name(match))
            found.static.append((claim, dict(match)))
    return True


def _can_provision(wanted: Sequence[Object], node: NodeInfo, storage: Storage) -> tuple[bool, bool]:
    """(whether each claim's class provisions for the node, whether its driver has the room)."""
    for claim in wanted:
        storage_class = storage.storage_class(claim)
        provisioner = (storage_class or {}).get("provisioner") or ""
        if storage_class is None or provisioner in ("", volumes.NO_PROVISIONER):
            return False, True
        if not volumes.topology_allows(storage_class, node.labels):
            return False, True
        if not _has_room(claim, provisioner, storage_class, node.labels, storage):
            return True, False
    return True, True


def _has_room(
    claim: Object, provisioner: str, storage_class: Object, labels: Mapping[str, str], storage: Storage
) -> bool:
    driver = storage.csi_driver(provisioner)
    if driver is None or not (driver.get("spec") or {}).get("storageCapacity"):
        return True
    wanted = volumes.requested(claim)
    for told in storage.capacities(objects.name(storage_class)):
        limit = told.get("maximumVolumeSize") or told.get("capacity")
        near = told.get("nodeTopology")
        if limit and parse(limit).nano >= wanted and near is not None and from_label_selector(near).matches(labels):
            return True
    return False
