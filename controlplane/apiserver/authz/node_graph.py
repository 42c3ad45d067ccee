"""What the objects of each node refer to: the graph behind the Node authorizer.

node ← pod ← secret, configmap, claim, account; claim ← volume ← secret; node ← volumeattachment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.meta.pod_references import Reference, named
from apimachinery.meta.pods import MIRROR

Object = Mapping[str, Any]

# The secret references of volume sources, and whether their namespace defaults to the claim's (VisitPVSecretNames).
_SECRETS = (
    ("azureFile", "secretName", "secretNamespace"),
    *(
        (source, reference, "namespace")
        for source, references in {
            "csi": (
                "controllerPublishSecretRef",
                "controllerExpandSecretRef",
                "nodePublishSecretRef",
                "nodeStageSecretRef",
                "nodeExpandSecretRef",
            ),
            "cephfs": ("secretRef",),
            "cinder": ("secretRef",),
            "flexVolume": ("secretRef",),
            "iscsi": ("secretRef",),
            "rbd": ("secretRef",),
            "scaleIO": ("secretRef",),
            "storageos": ("secretRef",),
        }.items()
        for reference in references
    ),
)


def may_be_on_a_node(pod: bytes) -> bool:
    """Whether a stored pod can be in the graph: what is on no node, as every pod when it is made, need not be read to
    know that it is in no node's part of it."""
    return b'"nodeName"' in pod


class PodGraph:
    """Fed by `put` and `drop` with pods, persistent volumes and volume attachments."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[tuple[str, str], frozenset[Reference]]] = {}
        self._node_of: dict[tuple[str, str], str] = {}
        self._claims: dict[str, Reference] = {}
        self._volumes_of: dict[Reference, set[str]] = {}
        self._attached: dict[str, str] = {}

    def put(self, obj: Object) -> None:
        """The object as it is now."""
        self.drop(obj)
        meta, spec = obj["metadata"], obj.get("spec") or {}
        if obj["kind"] == "PersistentVolume":
            claim = spec.get("claimRef")
            if claim:
                self._claims[meta["name"]] = "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", "")
                for secret in volume_secrets(obj):
                    self._volumes_of.setdefault(secret, set()).add(meta["name"])
        elif obj["kind"] == "VolumeAttachment":
            self._attached[meta["name"]] = str(spec.get("nodeName") or "")
        elif spec.get("nodeName"):
            key = meta.get("namespace") or "", meta["name"]
            self._by_node.setdefault(spec["nodeName"], {})[key] = frozenset(references(obj))
            self._node_of[key] = spec["nodeName"]

    def drop(self, obj: Object) -> None:
        """It is gone."""
        meta = obj["metadata"]
        if obj["kind"] == "PersistentVolume":
            self._claims.pop(meta["name"], None)
            for secret in [each for each, names in self._volumes_of.items() if meta["name"] in names]:
                self._volumes_of[secret].discard(meta["name"])
                if not self._volumes_of[secret]:
                    del self._volumes_of[secret]
            return
        if obj["kind"] == "VolumeAttachment":
            self._attached.pop(meta["name"], None)
            return
        key = meta.get("namespace") or "", meta["name"]
        node = self._node_of.pop(key, None)
        if node is not None:
            held = self._by_node[node]
            held.pop(key, None)
            if not held:
                del self._by_node[node]

    def needs(self, node: str, reference: Reference) -> bool:
        """Whether the object is one of the node's, or some pod on the node refers to it, itself or by a claim."""
        plural, namespace, name = reference
        pods = self._by_node.get(node, {})
        if plural == "pods":
            return (namespace, name) in pods
        if plural == "volumeattachments":
            return self._attached.get(name) == node
        if plural == "persistentvolumes":
            claim = self._claims.get(name)
            return claim is not None and any(claim in held for held in pods.values())
        if any(reference in held for held in pods.values()):
            return True
        return any(
            self.needs(node, ("persistentvolumes", "", volume)) for volume in self._volumes_of.get(reference, ())
        )


def references(pod: Object) -> Iterator[Reference]:
    """What a pod needs. A mirror pod names nothing that counts: a node could otherwise create one and so read what it
    likes."""
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        yield from named(pod)


def volume_secrets(volume: Object) -> Iterator[Reference]:
    """The secrets that a bound persistent volume names."""
    spec = volume.get("spec") or {}
    claim_namespace = (spec.get("claimRef") or {}).get("namespace") or ""
    for source, field, space in _SECRETS:
        held = spec.get(source) or {}
        reference = held if source == "azureFile" else held.get(field) or {}
        name = reference.get("secretName" if source == "azureFile" else "name")
        if name:
            yield "secrets", reference.get(space) or claim_namespace, name
