"""What cgroups are called: the kubelet's own name, a tuple of parts, and each driver's path for it.

Pure (pkg/kubelet/cm/cgroup_manager_linux.go: NewCgroupName, ToSystemd, ToCgroupfs). A path begins with `/` and is
relative to where the hierarchy is mounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta.pod_resources import qos_class
from nodeagent.kubelet import pods

Name = tuple[str, ...]

CGROUPFS, SYSTEMD = "cgroupfs", "systemd"

_PODS = "kubepods"
_POD = "pod"
_SLICE, _SCOPE = ".slice", ".scope"


def pods_name(root: str) -> Name:
    """The cgroup of all pods. root: `--cgroup-root`."""
    return (*(part for part in root.split("/") if part), _PODS)


def quality_name(root: str, quality: str) -> Name:
    """The cgroup of a QoS class; guaranteed pods are directly under that of all pods."""
    return pods_name(root) if quality == "Guaranteed" else (*pods_name(root), quality.lower())


def pod_name(root: str, pod: Mapping[str, Any]) -> Name:
    return pod_name_in(root, qos_class(pod), pods.uid(pod))


def pod_name_in(root: str, quality: str, uid: str) -> Name:
    """A pod's cgroup when it is of this class."""
    return (*quality_name(root, quality), f"{_POD}{uid}")


def path(name: Name, driver: str) -> str:
    """Where the driver keeps the cgroup; for a pod's this is also the sandbox's cgroup parent in the CRI.

    systemd: a slice lies in its parents (systemd.slice(5)), and a dash in a part is an underscore there.
    """
    if driver == CGROUPFS:
        return "/" + "/".join(name)
    parts = [part.replace("-", "_") for part in name]
    return "/" + "/".join(f"{'-'.join(parts[: end + 1])}{_SLICE}" for end in range(len(parts)))


def unit(name: Name) -> str:
    """The systemd unit of the cgroup."""
    return path(name, SYSTEMD).rpartition("/")[2]


def container_folder(container_id: str, driver: str) -> str:
    """The folder of a container in its pod's: what runc makes of the runtime's cgroups path."""
    return container_id if driver == CGROUPFS else f"cri-containerd-{container_id}{_SCOPE}"


def container_of(folder: str, driver: str) -> str | None:
    """The container's id that a folder in a pod's cgroup belongs to; None for a folder of no container."""
    if driver == CGROUPFS:
        return folder
    if folder.startswith("cri-containerd-") and folder.endswith(_SCOPE):
        return folder.removeprefix("cri-containerd-").removesuffix(_SCOPE)
    return None


def pod_uid_of(folder: str, driver: str) -> str | None:
    """The pod that a folder in a QoS class's cgroup belongs to; None for a folder of no pod."""
    if driver == SYSTEMD:
        last = folder.removesuffix(_SLICE).rpartition("-")[2]
        # Underscores stand for the dashes of a uid; the uid of a static pod is a bare hash.
        folder = last.replace("_", "-") if folder.endswith(_SLICE) else ""
    uid = folder.removeprefix(_POD)
    return uid if folder.startswith(_POD) and uid else None
