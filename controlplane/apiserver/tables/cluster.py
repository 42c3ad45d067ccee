"""Nodes, namespaces, volumes, storage, leases, roles."""

from __future__ import annotations

from datetime import datetime

from apimachinery.meta import pods, times
from controlplane.apiserver.tables.columns import (
    NONE,
    UNKNOWN,
    UNSET,
    Cell,
    Object,
    Printer,
    age,
    columns,
    joined,
    name,
    spec,
    state,
)

_ROLE = "node-role.kubernetes.io/"


def print_node(obj: Object, now: datetime) -> list[Cell]:
    ready = pods.condition(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec(obj).get("unschedulable"):
        words.append("SchedulingDisabled")
    found = obj["metadata"].get("labels") or {}
    roles = {key[len(_ROLE) :] for key in found if key.startswith(_ROLE) and len(key) > len(_ROLE)}
    if found.get("kubernetes.io/role"):
        roles.add(found["kubernetes.io/role"])
    info = state(obj).get("nodeInfo") or {}
    addresses = {each["type"]: each["address"] for each in reversed(state(obj).get("addresses") or [])}
    return [
        name(obj),
        ",".join(words),
        joined(sorted(roles)),
        age(obj, now),
        info.get("kubeletVersion") or "",
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def print_namespace(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), state(obj).get("phase") or "", age(obj, now)]


def print_lease(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), spec(obj).get("holderIdentity") or "", age(obj, now)]


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or []))


def print_volume(obj: Object, now: datetime) -> list[Cell]:
    volume, claim = spec(obj), spec(obj).get("claimRef")
    phase = state(obj).get("phase") or ""
    return [
        name(obj),
        (volume.get("capacity") or {}).get("storage") or "",
        _modes(volume.get("accessModes")),
        volume.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if obj["metadata"].get("deletionTimestamp") else phase,
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        _class(obj),
        volume.get("volumeAttributesClassName") or UNSET,
        state(obj).get("reason") or "",
        age(obj, now),
        volume.get("volumeMode") or UNSET,
    ]


def print_claim(obj: Object, now: datetime) -> list[Cell]:
    claim, phase = spec(obj), state(obj).get("phase") or ""
    bound = bool(claim.get("volumeName"))
    return [
        name(obj),
        "Terminating" if obj["metadata"].get("deletionTimestamp") else phase,
        claim.get("volumeName") or "",
        (state(obj).get("capacity") or {}).get("storage") or "0" if bound else "",
        _modes(state(obj).get("accessModes")) if bound else "",
        _class(obj),
        claim.get("volumeAttributesClassName") or UNSET,
        age(obj, now),
        claim.get("volumeMode") or UNSET,
    ]


_DEFAULTS = ("kubernetes.io", "beta.kubernetes.io")
_CLASS = "volume.beta.kubernetes.io/storage-class"


def _class(obj: Object) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(_CLASS) or spec(obj).get("storageClassName") or "")


def print_storage_class(obj: Object, now: datetime) -> list[Cell]:
    annotations = obj["metadata"].get("annotations") or {}
    is_default = any(annotations.get(f"storageclass.{where}/is-default-class") == "true" for where in _DEFAULTS)
    return [
        name(obj) + (" (default)" if is_default else ""),
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def print_binding(obj: Object, now: datetime) -> list[Cell]:
    reference = obj.get("roleRef") or {}
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or []:
        words = by_kind.get(subject.get("kind"))
        if words is not None:
            space = f"{subject['namespace']}/" if subject.get("kind") == "ServiceAccount" else ""
            words.append(space + subject.get("name", ""))
    role = f"{reference.get('kind')}/{reference.get('name')}"
    return [name(obj), role, age(obj, now), *(", ".join(by_kind[kind]) for kind in ("User", "Group", "ServiceAccount"))]


def print_role(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), obj["metadata"].get("creationTimestamp")]


def print_signing_request(obj: Object, now: datetime) -> list[Cell]:
    request = spec(obj)
    seconds = request.get("expirationSeconds")
    return [
        name(obj),
        age(obj, now),
        request.get("signerName") or NONE,
        request.get("username") or "",
        times.human_duration(seconds) if seconds else NONE,
        _signing_status(obj),
    ]


def _signing_status(obj: Object) -> str:
    kinds = {each.get("type") for each in state(obj).get("conditions") or []}
    text = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    return text + (",Failed" if "Failed" in kinds else "") + (",Issued" if state(obj).get("certificate") else "")


def print_priority_class(obj: Object, now: datetime) -> list[Cell]:
    return [
        name(obj),
        obj.get("value") or 0,
        bool(obj.get("globalDefault")),
        age(obj, now),
        obj.get("preemptionPolicy") or "",
    ]


def print_runtime_class(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), obj.get("handler") or "", age(obj, now)]


def print_csi_node(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), len(spec(obj).get("drivers") or []), age(obj, now)]


_BINDING = columns("Name, Role, Age, Users*, Groups*, ServiceAccounts*")
_ROLES = columns("Name, Created At:date")

PRINTERS = {
    ("", "Node"): Printer(
        columns(
            "Name, Status, Roles, Age, Version, Internal-IP*, External-IP*, OS-Image*, Kernel-Version*, "
            "Container-Runtime*"
        ),
        print_node,
    ),
    ("", "Namespace"): Printer(columns("Name, Status, Age"), print_namespace),
    ("", "PersistentVolume"): Printer(
        columns(
            "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, Reason, "
            "Age, VolumeMode*"
        ),
        print_volume,
    ),
    ("", "PersistentVolumeClaim"): Printer(
        columns("Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode*"),
        print_claim,
    ),
    ("storage.k8s.io", "StorageClass"): Printer(
        columns("Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age"), print_storage_class
    ),
    ("storage.k8s.io", "CSINode"): Printer(columns("Name, Drivers:integer, Age"), print_csi_node),
    ("coordination.k8s.io", "Lease"): Printer(columns("Name, Holder, Age"), print_lease),
    ("rbac.authorization.k8s.io", "Role"): Printer(_ROLES, print_role),
    ("rbac.authorization.k8s.io", "ClusterRole"): Printer(_ROLES, print_role),
    ("rbac.authorization.k8s.io", "RoleBinding"): Printer(_BINDING, print_binding),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): Printer(_BINDING, print_binding),
    ("certificates.k8s.io", "CertificateSigningRequest"): Printer(
        columns("Name, Age, SignerName, Requestor, RequestedDuration, Condition"), print_signing_request
    ),
    ("scheduling.k8s.io", "PriorityClass"): Printer(
        columns("Name, Value:integer, Global-Default:boolean, Age, PreemptionPolicy"), print_priority_class
    ),
    ("node.k8s.io", "RuntimeClass"): Printer(columns("Name, Handler, Age"), print_runtime_class),
}
