"""Finalizers that keep a volume or a claim while somebody uses it. Pure (pkg/controller/volume/protectionutil)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.controller.owners import is_controlled_by
from apimachinery.meta import objects, pods

Object = dict[str, Any]

PVC_PROTECTION = "kubernetes.io/pvc-protection"
PV_PROTECTION = "kubernetes.io/pv-protection"


def needs_finalizer(obj: Object, finalizer: str) -> bool:
    """Whether the object came before the admission plugin that should have given it the finalizer."""
    return not objects.is_deleting(obj) and finalizer not in (obj["metadata"].get("finalizers") or ())


def is_candidate(obj: Object, finalizer: str) -> bool:
    """Whether the object is being deleted, and waits for us."""
    return objects.is_deleting(obj) and finalizer in (obj["metadata"].get("finalizers") or ())


def plan_finalizers(obj: Object, finalizer: str, *, used: bool) -> list[str] | None:
    """Return the finalizers to write, or None when they are right."""
    present = list(obj["metadata"].get("finalizers") or ())
    if needs_finalizer(obj, finalizer):
        return [*present, finalizer]
    if is_candidate(obj, finalizer) and not used:
        return [each for each in present if each != finalizer]
    return None


def claims_of(pod: Object) -> Iterator[str]:
    """The names of the claims that the pod's volumes use, or would use."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"]["claimName"]
        elif volume.get("ephemeral") is not None:
            yield f"{objects.name(pod)}-{volume['name']}"


def uses_claim(pod: Object, claim: Object) -> bool:
    """Whether the pod holds the claim. One without a node does not: no kubelet starts a pod with a claim that goes.

    A pod that the kubelet is done with does not hold the claim that was made for it alone: each would wait for the
    other's finalizers.
    """
    if not pods.node_name(pod) or objects.namespace(pod) != objects.namespace(claim):
        return False
    name, shut_down = objects.name(claim), is_shut_down(pod)
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name:
            return True
        made_for_it = volume.get("ephemeral") is not None and f"{objects.name(pod)}-{volume['name']}" == name
        if made_for_it and not shut_down and is_controlled_by(claim, pod):
            return True
    return False


def is_shut_down(pod: Object) -> bool:
    """Whether the kubelet is done with the pod, or somebody deleted it by force."""
    return objects.is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0
