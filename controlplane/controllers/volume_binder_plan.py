"""What a claim and a volume are to become. Pure (pkg/controller/volume/persistentvolume/pv_controller.go)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import objects, volumes

Object = dict[str, Any]

NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"
_LOST_NAME = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
_LOST_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
_DELETED_BY_UPSTREAM = re.compile("/tmp/.+")  # with rm -r, on the machine of its controller manager
_MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"


@dataclass(frozen=True, slots=True)
class Said:
    """An event. once: only when the phase changes with it."""

    type: str
    reason: str
    message: str
    once: bool = False


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """bind: the volume to bind. phase: to write otherwise ("" leaves it). provisioner: whom to ask for a volume."""

    bind: Object | None = None
    phase: str = ""
    said: Said | None = None
    default_class: str = ""
    provisioner: str = ""


def plan_bound(claim: Object, volume: Object | None) -> ClaimPlan:
    """A claim whose binding was complete once. volume: of the name it gives, if there is one."""
    if not claim["spec"].get("volumeName"):
        return ClaimPlan(phase="Lost", said=Said("Warning", "ClaimLost", _LOST_NAME, once=True))
    if volume is None:
        return ClaimPlan(phase="Lost", said=Said("Warning", "ClaimLost", _LOST_VOLUME, once=True))
    reference = volume["spec"].get("claimRef")
    if reference and reference.get("uid") != objects.uid(claim):
        return ClaimPlan(phase="Lost", said=Said("Warning", "ClaimMisbound", _MISBOUND, once=True))
    return ClaimPlan(bind=volume)


def plan_named(claim: Object, volume: Object | None) -> ClaimPlan:
    """An unbound claim that asks for one volume by name."""
    if volume is None:
        return ClaimPlan(phase="Pending")
    if not volume["spec"].get("claimRef"):
        why = mismatch(claim, volume)
        if why:
            text = f'Cannot bind to requested volume "{objects.name(volume)}": {why}'
            return ClaimPlan(phase="Pending", said=Said("Warning", "VolumeMismatch", text))
        return ClaimPlan(bind=volume)
    if volumes.is_bound_to(volume, claim):
        return ClaimPlan(bind=volume)
    text = f'volume "{objects.name(volume)}" already bound to a different claim.'
    return ClaimPlan(phase="Pending", said=Said("Warning", "FailedBinding", text))


def mismatch(claim: Object, volume: Object) -> str:
    """Why a volume that a claim names cannot serve it; empty when it can."""
    if objects.is_deleting(volume):
        return f'the volume is marked for deletion "{objects.name(volume)}"'
    if volumes.capacity(volume) < volumes.requested(claim):
        return "requested PV is too small"
    if volumes.class_name(volume) != volumes.class_name(claim):
        return "storageClassName does not match"
    if volumes.mode(volume) != volumes.mode(claim):
        return "incompatible volumeMode"
    return "" if volumes.has_access_modes(claim, volume) else "incompatible accessMode"


def plan_unbound(
    claim: Object,
    candidates: Sequence[Object],
    storage_class: Object | None,
    default_class: Object | None,
    waiting: Sequence[str],
    *,
    provisioning: bool = True,
) -> ClaimPlan:
    """An unbound claim that takes any volume. waiting: names of pods that use the claim and have no node yet.
    provisioning: whether volumes may be asked for (--enable-dynamic-provisioning)."""
    delayed = volumes.waits_for_consumer(storage_class)
    match = volumes.find_match(claim, candidates, delayed=delayed)
    if match is not None:
        return ClaimPlan(bind=dict(match))
    if volumes.has_no_class_said(claim) and default_class is not None:
        # KEP-3333: a default class that came after the claim is given to it.
        return ClaimPlan(default_class=objects.name(default_class))
    if delayed and volumes.SELECTED_NODE not in objects.annotations(claim):
        return ClaimPlan(phase="Pending", said=_waits(waiting))
    name = volumes.class_name(claim)
    if not name:
        return ClaimPlan(phase="Pending", said=Said("Normal", "FailedBinding", NO_VOLUME))
    if not provisioning:
        return ClaimPlan()  # nor is anything told, as upstream
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        return ClaimPlan(said=Said("Warning", "ProvisioningFailed", text))
    provisioner = storage_class["provisioner"]
    if provisioner.startswith("kubernetes.io/"):
        text = f"no volume plugin matched name: {provisioner}"
        return ClaimPlan(said=Said("Warning", "ProvisioningFailed", text))
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    return ClaimPlan(provisioner=provisioner, said=Said("Normal", "ExternalProvisioning", text))


def _waits(pods: Sequence[str]) -> Said:
    if not pods:
        text = "waiting for first consumer to be created before binding"
        return Said("Normal", "WaitForFirstConsumer", text)
    word = "pod" if len(pods) == 1 else "pods"
    return Said("Normal", "WaitForPodScheduled", f"waiting for {word} {','.join(pods)} to be scheduled")


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """phase: to write ("" leaves it). claim_said: about its claim. wake: the claim is to be looked at.

    reclaim: its claim is gone, its policy holds. unbind: it was bound to a claim that took another.
    """

    phase: str = ""
    said: Said | None = None
    claim_said: Said | None = None
    wake: bool = False
    unbind: bool = False
    reclaim: bool = False


def plan_volume(volume: Object, claim: Object | None) -> VolumePlan:
    """claim: of the name that the volume's claimRef gives, as the API has it."""
    reference = volume["spec"].get("claimRef")
    if not reference or not reference.get("uid"):
        return VolumePlan(phase="Available")
    kept = (volume.get("status") or {}).get("phase") in ("Released", "Failed")
    if claim is None or objects.uid(claim) != reference["uid"]:
        return VolumePlan(phase="" if kept else "Released", reclaim=True)
    if not claim["spec"].get("volumeName"):
        if volumes.mode(volume) != volumes.mode(claim):
            text = "Cannot bind PersistentVolume{}to requested PersistentVolumeClaim{}due to incompatible volumeMode."
            return VolumePlan(
                said=Said("Warning", "VolumeMismatch", text.format(" ", f' "{objects.name(claim)}" ')),
                claim_said=Said("Warning", "VolumeMismatch", text.format(f' "{objects.name(volume)}" ', " ")),
            )
        return VolumePlan(wake=True)
    if claim["spec"]["volumeName"] == objects.name(volume):
        return VolumePlan(phase="Bound")
    provisioned = volumes.PROVISIONED_BY in objects.annotations(volume)
    if provisioned and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return VolumePlan(phase="" if kept else "Released", reclaim=True)
    return VolumePlan(unbind=True)


def plan_reclaim(volume: Object) -> Said | None:
    """What to say, with phase Failed, of a released volume that nobody can reclaim; None when somebody else does."""
    policy = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
    if policy == "Retain" or objects.is_deleting(volume):
        return None
    if policy == "Recycle":
        return Said("Warning", "VolumeFailedRecycle", "No recycler plugin found for the volume!", once=True)
    if policy != "Delete":
        text = "Volume has unrecognized PersistentVolumeReclaimPolicy"
        return Said("Warning", "VolumeUnknownReclaimPolicy", text, once=True)
    by = objects.annotations(volume).get(volumes.PROVISIONED_BY, "")
    if by and not by.startswith("kubernetes.io/"):
        return None
    path = (volume["spec"].get("hostPath") or {}).get("path")
    if by:
        text = f"no volume plugin matched name: {by}"
    elif path and not _DELETED_BY_UPSTREAM.search(path):
        text = f"host_path deleter only supports /tmp/.+ but received provided {path}"
    else:
        text = f'error getting deleter volume plugin for volume "{objects.name(volume)}": '
        text += "no deletable volume plugin matched"
    return Said("Warning", "VolumeFailedDelete", text, once=True)


def render_unbound(volume: Object) -> Object:
    """The volume without the binding: wholly when it was ours, only without the uid when the user set it aside."""
    metadata, spec = dict(volume["metadata"]), dict(volume["spec"])
    annotations = dict(objects.annotations(volume))
    if annotations.pop(volumes.BOUND_BY_CONTROLLER, None) is not None:
        spec.pop("claimRef", None)
        metadata["annotations"] = annotations
    else:
        spec["claimRef"] = {key: value for key, value in spec["claimRef"].items() if key != "uid"}
    return {**volume, "metadata": metadata, "spec": spec}


def render_bound_claim(claim: Object, volume: Object) -> Object | None:
    """The claim bound to the volume, or None when it is."""
    annotations, name = dict(objects.annotations(claim)), objects.name(volume)
    if claim["spec"].get("volumeName") != name:
        annotations.setdefault(volumes.BOUND_BY_CONTROLLER, "yes")
    annotations.setdefault(volumes.BIND_COMPLETED, "yes")
    if annotations == objects.annotations(claim) and claim["spec"].get("volumeName") == name:
        return None
    metadata = {**claim["metadata"], "annotations": annotations}
    return {**claim, "metadata": metadata, "spec": {**claim["spec"], "volumeName": name}}


def compute_claim_status(claim: Object, phase: str, volume: Object | None) -> Object:
    """The claim's status in a phase. Its capacity is the volume's when it becomes Bound, and not touched afterwards:
    a file system may be smaller than its device."""
    status = dict(claim.get("status") or {})
    was, status["phase"] = status.get("phase"), phase
    if volume is None:
        status.pop("accessModes", None)
        status.pop("capacity", None)
        return status
    status["accessModes"] = list(volume["spec"].get("accessModes") or ())
    if was != phase:
        status["capacity"] = dict(volume["spec"].get("capacity") or {})
    return status
