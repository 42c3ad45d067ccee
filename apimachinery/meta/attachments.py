"""Volumes that are attached to nodes: the names that controllers, kubelets and drivers share (pkg/volume/csi). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]

DISK_DRIVER = "disk.kubelab.io"
"""The CSI driver of the lab's own disks: its controller part is the cloud's, its node part is in the kubelet."""

_NAME = re.compile(r"csi-[0-9a-f]{64}")

MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"


def attachment_name(handle: str, driver: str, node: str) -> str:
    """The name of the VolumeAttachment of one volume on one node (csi_attacher.go: getAttachmentName)."""
    return f"csi-{hashlib.sha256(f'{handle}{driver}{node}'.encode()).hexdigest()}"


def is_controllers(attachment: Object) -> bool:
    """Whether a VolumeAttachment has a name that only `attachment_name` gives. Others are somebody's own: nobody but he
    may delete them (the real controller would not even find them)."""
    return _NAME.fullmatch(attachment["metadata"]["name"]) is not None


def source(volume: Object) -> Mapping[str, Any]:
    """The volume's `csi` source; empty when it has another."""
    found: Mapping[str, Any] = (volume.get("spec") or {}).get("csi") or {}
    return found


def disk_of(volume: Object) -> str:
    """The id of the lab's disk behind a volume, "" when it is none."""
    csi = source(volume)
    return str(csi.get("volumeHandle") or "") if csi.get("driver") == DISK_DRIVER else ""


def unique_name(volume: Object) -> str:
    """What a Node's volumesInUse and volumesAttached call a CSI volume."""
    csi = source(volume)
    return unique_handle(csi["driver"], csi["volumeHandle"])


def unique_handle(driver: str, handle: str) -> str:
    """The same, of the driver's own name for it."""
    return f"kubernetes.io/csi/{driver}^{handle}"


def allows_many_nodes(volume: Object) -> bool:
    """Whether the volume may be attached to several nodes. One without access modes is left to its driver."""
    modes = (volume.get("spec") or {}).get("accessModes") or ()
    return not modes or "ReadWriteMany" in modes or "ReadOnlyMany" in modes


def volume_of(attachment: Object) -> str:
    """The name of the PersistentVolume that a VolumeAttachment attaches; empty for an inline one."""
    return str((attachment["spec"].get("source") or {}).get("persistentVolumeName") or "")


def is_attached(attachment: Object) -> bool:
    """Whether the driver says that the volume is attached."""
    return bool((attachment.get("status") or {}).get("attached"))
