"""The Node object: what we say of ourselves. Pure functions (pkg/kubelet/nodestatus/setters.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery.meta import times
from apimachinery.meta.cloud import PROVIDED_IP
from apimachinery.meta.quantity import format_bytes, format_milli, milli, value
from apimachinery.meta.taints import UNINITIALIZED
from nodeagent.cri import messages as cri

from .machine import Machine

VERSION = "v1.32.0"

# The labels that a Node gets again when its kubelet is started again.
DEFAULT_LABELS = frozenset(
    (
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    )
)

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reserve:
    """What is kept from pods. By resource; cpu in millicores, others in bytes. *_eviction: bytes held back."""

    reserved: Mapping[str, int]
    memory_eviction: int = 0
    disk_eviction: int = 0


def pods_at_most(machine: Machine, max_pods: int, per_core: int) -> int:
    """How many pods the node takes. per_core: for each processor, 0 for any number."""
    return min(machine.cpus * per_core, max_pods) if per_core > 0 else max_pods


def capacity(machine: Machine, max_pods: int, disk: int) -> dict[str, str]:
    pages = {f"hugepages-{format_bytes(size)}": format_bytes(amount) for size, amount in machine.hugepages.items()}
    return {
        "cpu": format_milli(machine.cpus * 1000),
        "memory": f"{machine.memory // 1024}Ki",
        "ephemeral-storage": f"{disk // 1024}Ki",
        "pods": str(max_pods),
        **pages,
    }


def allocatable(machine: Machine, max_pods: int, disk: int, reserve: Reserve) -> dict[str, str]:
    """Capacity less what is reserved and what eviction keeps free; memory also less what is set aside as huge pages."""
    kept = reserve.reserved
    pages = sum(machine.hugepages.values())
    memory = machine.memory - kept.get("memory", 0) - reserve.memory_eviction - pages
    storage = disk - kept.get("ephemeral-storage", 0) - reserve.disk_eviction
    return {
        **capacity(machine, max_pods, disk),
        "cpu": format_milli(max(0, machine.cpus * 1000 - kept.get("cpu", 0))),
        "memory": f"{max(0, memory) // 1024}Ki",
        "ephemeral-storage": str(max(0, storage)),
    }


def extended_resources(shown: Mapping[str, str]) -> dict[str, str]:
    """What others have put into a Node's capacity (`example.com/dongle`): it stays, all of it allocatable."""
    return {name: amount for name, amount in shown.items() if "/" in name and "kubernetes.io/" not in name}


def pods_allocatable(machine: Machine, reserve: Reserve) -> dict[str, int]:
    """What the cgroup of all pods is limited to: capacity less what is reserved; eviction is to act before that.

    cpu in millicores, others in bytes (node_container_manager_linux.go: getNodeAllocatableInternalAbsolute).
    """
    kept = reserve.reserved
    pages = {f"hugepages-{format_bytes(size)}": amount for size, amount in machine.hugepages.items()}
    return {
        "cpu": max(0, machine.cpus * 1000 - kept.get("cpu", 0)),
        "memory": max(0, machine.memory - kept.get("memory", 0) - sum(pages.values())),
        **pages,
    }


def over_reserved(machine: Machine, disk: int, reserve: Reserve) -> list[str]:
    """Upstream's sentence for every resource of which more is kept from pods than there is."""
    kept = reserve.reserved
    rows = (
        ("cpu", kept.get("cpu", 0), machine.cpus * 1000, format_milli),
        ("memory", kept.get("memory", 0) + reserve.memory_eviction, machine.memory, format_bytes),
        ("ephemeral-storage", kept.get("ephemeral-storage", 0) + reserve.disk_eviction, disk, format_bytes),
    )
    return [
        f'Resource "{name}" has a reservation of {show(amount)} but capacity of {show(whole)}. '
        "Expected capacity >= reservation."
        for name, amount, whole, show in rows
        if amount > whole
    ]


@dataclass(frozen=True, slots=True)
class Health:
    """What decides the conditions. ready_problems: empty when the node is ready. *_pressure: whether there is any."""

    ready_problems: Sequence[str] = ()
    memory_pressure: bool = False
    disk_pressure: bool = False
    pid_pressure: bool = False


def conditions(health: Health, previous: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, str]]:
    """The node's four conditions, with their transition times kept while they do not change."""
    problems = health.ready_problems
    ready = ("True", "KubeletReady", "kubelet is posting ready status")
    if problems:
        text = f"[{', '.join(problems)}]" if len(problems) > 1 else problems[0]
        ready = ("False", "KubeletNotReady", text)
    rows = [
        ("MemoryPressure", *_pressure(health.memory_pressure, "InsufficientMemory", "SufficientMemory",
                                      "insufficient memory", "sufficient memory")),
        ("DiskPressure", *_pressure(health.disk_pressure, "DiskPressure", "NoDiskPressure",
                                    "disk pressure", "no disk pressure")),
        ("PIDPressure", *_pressure(health.pid_pressure, "InsufficientPID", "SufficientPID",
                                   "insufficient PID", "sufficient PID")),
        ("Ready", *ready),
    ]  # fmt: skip
    old = {condition["type"]: condition for condition in previous}
    stamp = times.rfc3339(now)
    result = []
    for kind, status, reason, message in rows:
        before = old.get(kind)
        kept = before is not None and before.get("status") == status
        since = str(before["lastTransitionTime"]) if before is not None and kept else stamp
        result.append({
            "type": kind, "status": status, "lastHeartbeatTime": stamp, "lastTransitionTime": since,
            "reason": reason, "message": message,
        })  # fmt: skip
    return result


def condition_event(kind: str, status: str) -> str:
    """The reason of the event that tells of a condition's change."""
    if kind == "Ready":
        return "NodeReady" if status == "True" else "NodeNotReady"
    good, bad = {
        "MemoryPressure": ("NodeHasSufficientMemory", "NodeHasInsufficientMemory"),
        "DiskPressure": ("NodeHasNoDiskPressure", "NodeHasDiskPressure"),
        "PIDPressure": ("NodeHasSufficientPID", "NodeHasInsufficientPID"),
    }[kind]
    return bad if status == "True" else good


def _pressure(under: bool, bad: str, good: str, bad_text: str, good_text: str) -> tuple[str, str, str]:
    memory_like = "emory" in bad or "PID" in bad
    tail = " available" if memory_like else ""
    if under:
        return "True", f"KubeletHas{bad}", f"kubelet has {bad_text}{tail}"
    return "False", f"KubeletHas{good}", f"kubelet has {good_text}{tail}"


def images(found: Sequence[cri.Image], most: int) -> list[dict[str, Any]]:
    """The largest images, named by digest and tag. most: of them, -1 for all."""
    rows = [
        {"names": [*image.repo_digests, *image.repo_tags][:5], "sizeBytes": int(image.size)}
        for image in found
        if image.repo_tags or image.repo_digests
    ]
    rows.sort(key=lambda row: (-int(str(row["sizeBytes"])), row["names"]))
    return rows[:most] if most >= 0 else rows


def node_info(machine: Machine, runtime: str, swap: bool = False) -> dict[str, Any]:
    return {
        "architecture": machine.architecture,
        "bootID": machine.boot_id,
        "containerRuntimeVersion": runtime,
        "kernelVersion": machine.kernel,
        "kubeProxyVersion": VERSION,
        "kubeletVersion": VERSION,
        "machineID": machine.machine_id,
        "operatingSystem": "linux",
        "osImage": machine.os_image,
        "systemUUID": machine.system_uuid,
    }


def addresses(name: str, ips: Sequence[str]) -> list[dict[str, str]]:
    return [*({"type": "InternalIP", "address": ip} for ip in ips), {"type": "Hostname", "address": name}]


def external_addresses(
    shown: Sequence[Mapping[str, Any]], name: str, given: Sequence[str]
) -> Sequence[Mapping[str, Any]]:
    """The addresses where a cloud controller manager decides: what it said, before that only what --node-ip said."""
    return shown or addresses(name, given)


def external_registration(given: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(taint, annotations) of a Node that the cloud is still to initialize. given: the addresses of --node-ip."""
    taint = {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}
    return taint, {PROVIDED_IP: ",".join(given)} if given else {}


def standard_labels(name: str, machine: Machine) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }


def new_node(
    name: str,
    labels: Mapping[str, str],
    taints: Sequence[Mapping[str, str]],
    provider_id: str,
    status: Node,
    annotations: Mapping[str, str],
) -> Node:
    """The Node to register."""
    spec: dict[str, Any] = {}
    if taints:
        spec["taints"] = [dict(taint) for taint in taints]
    if provider_id:
        spec["providerID"] = provider_id
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": dict(labels),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true", **annotations},
        },
        "spec": spec,
        "status": status,
    }


def with_whole_addresses(status: Node) -> Node:
    """A status whose addresses replace those there: merged by their type, of two InternalIPs one would be lost or
    doubled (fixupPatchForNodeStatusAddresses)."""
    if not status.get("addresses"):
        return status
    return {**status, "addresses": [*status["addresses"], {"$patch": "replace"}]}


def differs(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a status is worth sending before the report period is over: heartbeats alone are not."""
    for key in new.keys() | old.keys():
        if key == "conditions":
            bare = [
                [{field: text for field, text in c.items() if field != "lastHeartbeatTime"} for c in side.get(key) or ()
                 if c.get("type") in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")]
                for side in (old, new)
            ]  # fmt: skip
            if bare[0] != bare[1]:
                return True
        elif key in new and old.get(key) != new[key]:
            return True
    return False


def amounts(listed: Mapping[str, str]) -> dict[str, int]:
    """A rendered resource list as numbers; cpu in millicores."""
    return {key: milli(text) if key == "cpu" else value(text) for key, text in listed.items()}
