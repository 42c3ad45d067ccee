"""The lab's disks as volumes: names, sizes, the PersistentVolume of each, what cannot be had. Pure.

It says what the sidecars of a CSI driver say (external-provisioner, external-attacher, external-resizer).
"""

from __future__ import annotations

import hashlib
from typing import Any

from apimachinery.meta import objects, volumes
from apimachinery.meta.attachments import DISK_DRIVER
from apimachinery.meta.provisioning import FINALIZER, volume_name
from apimachinery.meta.quantity import format_bytes, value

Object = dict[str, Any]

ATTACHER_FINALIZER = "external-attacher/disk-kubelab-io"
NODE_ID_ANNOTATION = "csi.alpha.kubernetes.io/node-id"
FS_TYPE, DEFAULT_FS_TYPE = "csi.storage.k8s.io/fstype", "ext4"
CLASS_NAME = "disk"
_MODES = frozenset(("ReadWriteOnce", "ReadWriteOncePod"))
_MIB = 1 << 20


class Refusal(Exception):
    """The claim asks for what no disk can give. The text goes into ProvisioningFailed."""


def disk_id(volume: str) -> str:
    """The disk of a PersistentVolume, by its name: a device's serial number holds 20 characters."""
    return f"vol-{hashlib.sha256(volume.encode()).hexdigest()[:16]}"


def check(claim: Object, storage_class: Object) -> None:
    """Raises Refusal."""
    spec = claim["spec"]
    if spec.get("selector") is not None:
        raise Refusal("claim Selector is not supported")
    if not set(spec.get("accessModes") or ()) <= _MODES:
        raise Refusal("a disk is for one node at a time: only ReadWriteOnce and ReadWriteOncePod are supported")
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        raise Refusal("data sources are not supported")
    unknown = sorted(set(storage_class.get("parameters") or {}) - {FS_TYPE})
    if unknown:
        raise Refusal(f"invalid parameter {unknown[0]!r}: only {FS_TYPE} is known")


def rounded(size: int) -> int:
    """Bytes of a disk that has at least `size`: whole MiB."""
    return max(1, -(-size // _MIB)) * _MIB


def asked_size(claim: Object) -> int:
    """Bytes of the disk that a claim asks for."""
    return rounded(value(claim["spec"]["resources"]["requests"]["storage"]))


def shown_size(size: int, asked: str) -> str:
    """The size as a quantity: as it was asked for if it is just that."""
    return asked if value(asked) == size else format_bytes(size)


def render_volume(claim: Object, storage_class: Object, size: int) -> Object:
    """The PersistentVolume of a disk of `size` bytes, set aside for the claim."""
    csi: Object = {"driver": DISK_DRIVER, "volumeHandle": disk_id(volume_name(claim))}
    if volumes.mode(claim) == "Filesystem":
        csi["fsType"] = (storage_class.get("parameters") or {}).get(FS_TYPE) or DEFAULT_FS_TYPE
    spec: Object = {
        "capacity": {"storage": shown_size(size, claim["spec"]["resources"]["requests"]["storage"])},
        "accessModes": list(claim["spec"].get("accessModes") or ()),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": objects.name(storage_class),
        "volumeMode": volumes.mode(claim),
        "claimRef": volumes.claim_reference(claim),
        "csi": csi,
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = list(storage_class["mountOptions"])
    metadata = {
        "name": volume_name(claim),
        "annotations": {volumes.PROVISIONED_BY: DISK_DRIVER},
        "finalizers": [FINALIZER],
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def render_driver() -> Object:
    """What the cluster is told of the driver: volumes are attached; fsGroup is the kubelet's, for file systems."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": DISK_DRIVER},
        "spec": {
            "attachRequired": True,
            "podInfoOnMount": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "volumeLifecycleModes": ["Persistent"],
        },
    }


def render_class() -> Object:
    """The StorageClass of disks. Not the default: that is local-path, which needs no driver."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS_NAME},
        "provisioner": DISK_DRIVER,
        "parameters": {FS_TYPE: DEFAULT_FS_TYPE},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def node_id(csi_node: Object | None, node: str) -> str:
    """How the driver calls the node. Raises Refusal when no kubelet with the driver has registered there."""
    if csi_node is None:
        raise Refusal(f'csinode.storage.k8s.io "{node}" not found')
    for driver in (csi_node.get("spec") or {}).get("drivers") or ():
        if driver.get("name") == DISK_DRIVER:
            return str(driver["nodeID"])
    raise Refusal(f"CSINode {node} does not contain driver {DISK_DRIVER}")
