"""What a dynamic provisioner of volumes asks of claims and volumes (sig-storage-lib-external-provisioner). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta import objects, volumes

Object = Mapping[str, Any]

# A volume is not forgotten before what is behind it is gone, whoever deletes the PersistentVolume.
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"


def volume_name(claim: Object) -> str:
    """The name of the volume that is made for a claim."""
    return f"pvc-{objects.uid(claim)}"


def is_asked(claim: Object, provisioner: str) -> bool:
    """Whether the binder asks `provisioner` for a volume for this claim."""
    annotations = objects.annotations(claim)
    asked = annotations.get(volumes.STORAGE_PROVISIONER) or annotations.get(volumes.BETA_STORAGE_PROVISIONER)
    return asked == provisioner and not claim["spec"].get("volumeName") and not objects.is_deleting(claim)


def is_to_be_deleted(volume: Object, provisioner: str) -> bool:
    """Whether a volume that `provisioner` made is released and is to go, or is only still there because of it."""
    phase = (volume.get("status") or {}).get("phase")
    if objects.annotations(volume).get(volumes.PROVISIONED_BY) != provisioner:
        return False
    if phase in (None, "Pending", "Bound"):
        return False  # somebody uses it, or is about to
    if objects.is_deleting(volume):
        return FINALIZER in (volume["metadata"].get("finalizers") or ())
    return not is_retained(volume) and phase in ("Released", "Failed")


def is_retained(volume: Object) -> bool:
    """Whether a PersistentVolume that is deleted leaves what is behind it."""
    return bool(volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete")


def without_finalizer(obj: Object, finalizer: str) -> dict[str, Any]:
    """The object without one finalizer."""
    left = [each for each in obj["metadata"].get("finalizers") or () if each != finalizer]
    return {**obj, "metadata": {**obj["metadata"], "finalizers": left}}
