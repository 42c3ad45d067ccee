"""PersistentVolumes and claims: classes, who is bound to whom, and which volume serves a claim best.

Controllers, scheduler and kubelet ask the same questions (component-helpers/storage/volume). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from apimachinery.meta import objects
from apimachinery.meta.labels import from_label_selector
from apimachinery.meta.node_selector import NodeSelectorTerm
from apimachinery.meta.quantity import parse

Object = Mapping[str, Any]
Labels = Mapping[str, str]

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
NO_PROVISIONER = "kubernetes.io/no-provisioner"

_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def class_name(obj: Object) -> str:
    """The storage class of a volume or a claim; empty for none."""
    beta = objects.annotations(obj).get(BETA_CLASS)
    return str(beta if beta is not None else (obj.get("spec") or {}).get("storageClassName") or "")


def has_no_class_said(claim: Object) -> bool:
    """Whether the claim leaves its class to the default: absent, not the empty string."""
    return BETA_CLASS not in objects.annotations(claim) and (claim.get("spec") or {}).get("storageClassName") is None


def default_class(classes: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The default StorageClass: the newest of several, then the first by name."""
    marked = [c for c in classes if any(objects.annotations(c).get(key) == "true" for key in _DEFAULT_CLASS)]
    marked.sort(key=objects.name)
    marked.sort(key=lambda c: str(c["metadata"].get("creationTimestamp") or ""), reverse=True)
    return marked[0] if marked else None


def waits_for_consumer(storage_class: Object | None) -> bool:
    """Whether claims of the class are bound only once a pod that uses them is being scheduled."""
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def requested(claim: Object) -> int:
    """What the claim asks for, in nano-bytes (exact, for comparison)."""
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return parse(requests.get("storage") or "0").nano


def capacity(volume: Object) -> int:
    """What the volume holds, in nano-bytes."""
    return parse(((volume.get("spec") or {}).get("capacity") or {}).get("storage") or "0").nano


def mode(obj: Object) -> str:
    """Filesystem or Block."""
    return str((obj.get("spec") or {}).get("volumeMode") or "Filesystem")


def has_access_modes(claim: Object, volume: Object) -> bool:
    """Whether the volume offers every access mode that the claim asks for."""
    offered = (volume.get("spec") or {}).get("accessModes") or ()
    return all(each in offered for each in (claim.get("spec") or {}).get("accessModes") or ())


def is_bound_to(volume: Object, claim: Object) -> bool:
    """Whether the volume names this claim; without a uid it is set aside for whoever bears the name."""
    reference = (volume.get("spec") or {}).get("claimRef")
    if not reference:
        return False
    if (reference.get("name"), reference.get("namespace")) != (objects.name(claim), objects.namespace(claim)):
        return False
    return not reference.get("uid") or bool(reference["uid"] == objects.uid(claim))


def is_fully_bound(claim: Object) -> bool:
    """Whether binding is complete on the claim's side."""
    return bool((claim.get("spec") or {}).get("volumeName")) and BIND_COMPLETED in objects.annotations(claim)


def reaches(volume: Object, labels: Labels) -> bool:
    """Whether a node of these labels can reach the volume (its nodeAffinity)."""
    required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")
    if not required:
        return True
    return any(NodeSelectorTerm(term).matches("", labels) for term in required.get("nodeSelectorTerms") or ())


def topology_allows(storage_class: Object, labels: Labels) -> bool:
    """Whether the class may provision for a node of these labels (allowedTopologies)."""
    terms = storage_class.get("allowedTopologies") or ()
    return not terms or any(
        all(
            labels.get(expression.get("key", "")) in (expression.get("values") or ())
            for expression in term.get("matchLabelExpressions") or ()
        )
        for term in terms
    )


def claim_reference(claim: Object) -> dict[str, Any]:
    """What a volume's claimRef says of the claim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": objects.namespace(claim),
        "name": objects.name(claim),
        "uid": objects.uid(claim),
        "resourceVersion": objects.resource_version(claim),
    }


def bind_to(volume: Object, claim: Object) -> dict[str, Any] | None:
    """Return the volume bound to the claim, or None when it is already. What we bound, we say so: it may be undone."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    theirs = is_bound_to(volume, claim)
    if theirs and reference.get("uid") == objects.uid(claim):
        return None
    metadata = dict(volume["metadata"])
    if not theirs:
        metadata["annotations"] = {**objects.annotations(volume), BOUND_BY_CONTROLLER: "yes"}
    return {**volume, "metadata": metadata, "spec": {**volume["spec"], "claimRef": claim_reference(claim)}}


def find_match(
    claim: Object,
    candidates: Iterable[Object],
    *,
    node: Labels | None = None,
    excluded: Collection[str] = (),
    delayed: bool = False,
) -> Object | None:
    """Return the volume that serves the claim: one set aside for it, otherwise the smallest that suffices.

    node: labels of the node that a pod is to run on (the scheduler asks). delayed: the claim waits for its first
    consumer, so that without a node only what is set aside counts. excluded: names already spoken for.
    """
    wanted, kind, asked_class = requested(claim), mode(claim), class_name(claim)
    raw = (claim.get("spec") or {}).get("selector")
    selector = from_label_selector(raw) if raw is not None else None
    best: Object | None = None
    rank: tuple[int, int, str] | None = None
    for volume in candidates:
        reference = volume["spec"].get("claimRef")
        if objects.name(volume) in excluded or (reference and not is_bound_to(volume, claim)):
            continue
        size = capacity(volume)
        if size < wanted or mode(volume) != kind or objects.is_deleting(volume):
            continue
        near = node is None or reaches(volume, node)
        if reference and node is None and not has_access_modes(claim, volume):
            continue  # upstream's controller looks among those that offer them; its scheduler takes what is set aside
        if reference:
            return volume if near else None
        if node is None and delayed:
            continue
        if (volume.get("status") or {}).get("phase") != "Available" or class_name(volume) != asked_class:
            continue
        if (selector is not None and not selector.matches(objects.labels(volume))) or not near:
            continue
        if not has_access_modes(claim, volume):
            continue
        # The fewest access modes first, as the controller's index orders them; then the smallest; then by name.
        own = (len(volume["spec"].get("accessModes") or ()) if node is None else 0, size, objects.name(volume))
        if rank is None or own < rank:
            best, rank = volume, own
    return best


def pod_claims(pod: Object) -> Iterator[tuple[Mapping[str, Any], str, bool]]:
    """(volume, claim name, made for this pod alone) of each volume of the pod that stands on a claim."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume, str(volume["persistentVolumeClaim"].get("claimName") or ""), False
        elif volume.get("ephemeral") is not None:
            yield volume, f"{objects.name(pod)}-{volume['name']}", True


def check_ephemeral(pod: Object, claim: Object) -> str:
    """Return why the claim is not the one made for the pod's ephemeral volume; empty when it is."""
    for reference in claim["metadata"].get("ownerReferences") or ():
        if reference.get("controller") and reference.get("uid") == objects.uid(pod):
            return ""
    whose, of = objects.key(claim), objects.key(pod)
    return f"PVC {whose} was not created for pod {of} (pod is not owner)"
