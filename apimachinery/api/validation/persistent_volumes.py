"""PersistentVolumes (pkg/apis/core/validation)."""

import posixpath

from apimachinery.api.validation.checks import (
    IMMUTABLE,
    NOT_POSITIVE,
    Object,
    dns_subdomain,
    immutable,
    same,
)
from apimachinery.api.validation.difference import difference
from apimachinery.api.validation.go_values import go_amounts
from apimachinery.api.validation.scheduling import node_selector
from apimachinery.api.validation.volume_sources import PORTAL_TOO_LONG, check_source, portal_too_long
from apimachinery.meta import quantity
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_INLINE = "in the context of inline volumes"
_SPEC = Path("spec")
# What is pointed at has some address.
_GO_NODES = Verbatim("core.VolumeNodeAffinity{Required:(*core.NodeSelector)(0xc000000000)}")
_GA_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}
# In upstream's order; the second name is what its paths say where it differs.
_SOURCES = (
    ("hostPath", ""),
    ("gcePersistentDisk", "persistentDisk"),
    ("awsElasticBlockStore", ""),
    ("glusterfs", ""),
    ("flocker", ""),
    ("nfs", ""),
    ("rbd", ""),
    ("quobyte", ""),
    ("cephfs", ""),
    ("iscsi", ""),
    ("cinder", ""),
    ("fc", ""),
    ("flexVolume", ""),
    ("azureFile", ""),
    ("vsphereVolume", ""),
    ("photonPersistentDisk", ""),
    ("portworxVolume", ""),
    ("azureDisk", ""),
    ("scaleIO", ""),
    ("local", ""),
    ("storageos", ""),
    ("csi", ""),
)


def persistent_volume(obj: Object) -> list[Problem]:
    """Access modes, capacity, one source, and where it can be used."""
    problems = volume_spec(obj.get("spec") or {}, _SPEC)
    iscsi, name = (obj.get("spec") or {}).get("iscsi") or {}, (obj.get("metadata") or {}).get("name") or ""
    if portal_too_long(name, iscsi):
        problems.append(invalid(_SPEC.child("iscsi", "targetportal"), iscsi.get("targetPortal", ""), PORTAL_TOO_LONG))
    return problems


def persistent_volume_update(new: Object, old: Object) -> list[Problem]:
    """Source, mode and (once set) the nodes stay."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    problems: list[Problem] = []
    now = {kind: _comparable(after, before, kind) for kind, _ in _SOURCES}
    then = {kind: before.get(kind) for kind, _ in _SOURCES}
    if not same(now, then):
        text = f"spec.persistentvolumesource is immutable after creation\n{difference(then, now)}"
        problems.append(forbidden(_SPEC.child("persistentvolumesource"), text))
    problems += immutable(after.get("volumeMode"), before.get("volumeMode"), Path("volumeMode"))
    nodes, had = after.get("nodeAffinity"), before.get("nodeAffinity")
    if had is not None and not _same_nodes(nodes, had):
        text = f"{IMMUTABLE}, except for updating from beta label to GA"
        shown = Verbatim(
            f"core.VolumeNodeAffinity{{Required:(*core.NodeSelector)({'0xc000000000' if nodes else 'nil'})}}"
        )
        problems.append(invalid(Path("nodeAffinity"), None if nodes is None else shown, text))
    if not same(after.get("volumeAttributesClassName"), before.get("volumeAttributesClassName")):
        text = "update is forbidden when the VolumeAttributesClass feature gate is disabled"
        problems.append(forbidden(_SPEC.child("volumeAttributesClassName"), text))
    return problems


def volume_spec(spec: Object, path: Path, *, inline: bool = False) -> list[Problem]:
    """The spec of a volume. inline: in a VolumeAttachment, where only CSI sources without claim and capacity fit."""
    problems: list[Problem] = []
    if inline:
        for field in ("claimRef", "capacity"):
            if spec.get(field):
                problems.append(forbidden(path.child(field), f"may not be specified {_INLINE}"))
        if spec.get("csi") is None:
            problems.append(required(path.child("csi"), f"has to be specified {_INLINE}"))
    modes = spec.get("accessModes") or []
    problems += access_modes(modes, path.child("accessModes")) if modes else [required(path.child("accessModes"))]
    if not inline:
        problems += _capacity(spec, path.child("capacity"))
    problems += _policy(spec, path.child("persistentVolumeReclaimPolicy"), inline)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        problems += _affinity(affinity, path.child("nodeAffinity"), inline)
    problems += _source(spec, path)
    host_path = (spec.get("hostPath") or {}).get("path", "")
    if host_path and posixpath.normpath(host_path) == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        problems.append(forbidden(path.child("persistentVolumeReclaimPolicy"), text))
    if named := spec.get("storageClassName"):
        where = path.child("storageClassName")
        problems += [forbidden(where, f"may not be specified {_INLINE}")] if inline else dns_subdomain(named, where)
    mode, where = spec.get("volumeMode"), path.child("volumeMode")
    if mode is not None and inline and mode != "Filesystem":
        problems.append(forbidden(where, f"may not specify volumeMode other than Filesystem {_INLINE}"))
    elif mode is not None and mode not in VOLUME_MODES:
        problems.append(not_supported(where, mode, VOLUME_MODES))
    return problems


def access_modes(modes: list[str], path: Path) -> list[Problem]:
    """Known modes; ReadWriteOncePod stands alone."""
    problems = [not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES[:3] for mode in modes):
        problems.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return problems


def _capacity(spec: Object, path: Path) -> list[Problem]:
    capacity = spec.get("capacity") or {}
    problems = [] if capacity else [required(path)]
    if set(capacity) != {"storage"}:
        shown = go_amounts(capacity) if "capacity" in spec else Verbatim("core.ResourceList(nil)")
        problems.append(not_supported(path, shown, ("storage",)))
    for name, text in capacity.items():
        amount, where = quantity.parse(text), path.key(name)
        if amount.nano < 0:
            problems.append(invalid(where, amount.value, "must be a valid resource quantity"))
        if amount.nano <= 0:
            problems.append(invalid(where, str(amount), NOT_POSITIVE))
    return problems


def _policy(spec: Object, path: Path, inline: bool) -> list[Problem]:
    policy = spec.get("persistentVolumeReclaimPolicy")
    if not policy:
        return []
    if inline:
        return [] if policy == "Retain" else [forbidden(path, f"may only be Retain {_INLINE}")]
    return [] if policy in _RECLAIM else [not_supported(path, policy, _RECLAIM)]


def _affinity(affinity: Object, path: Path, inline: bool) -> list[Problem]:
    if inline:
        return [forbidden(path, f"may not be specified {_INLINE}")]
    if affinity.get("required") is None:
        return [required(path.child("required"), "must specify required node constraints")]
    return node_selector(affinity["required"], path.child("required"))


def _source(spec: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    given = [(kind, shown or kind) for kind, shown in _SOURCES if spec.get(kind) is not None]
    for position, (kind, shown) in enumerate(given):
        if position and kind != "flexVolume":
            field = "cephFS" if kind == "cephfs" else kind
            problems.append(forbidden(path.child(field), "may not specify more than 1 volume type"))
            continue
        problems += check_source(kind, spec[kind], path.child(shown), True)
        if kind == "local" and spec.get("nodeAffinity") is None:
            problems.append(required(path.child("nodeAffinity"), "Local volume requires node affinity"))
    return problems if given else [required(path, "must specify a volume type")]


def _same_nodes(new: Object | None, old: Object) -> bool:
    """Whether the same nodes are meant; a label may be called by the name it has got since its beta."""
    now, then = ((((each or {}).get("required") or {}).get("nodeSelectorTerms") or []) for each in (new, old))
    if new is None or len(now) != len(then):
        return False
    return all(
        same([_renamed(was, each.get("key")) for was, each in zip(old_term, term, strict=False)], term)
        and len(old_term) == len(term)
        for before, after in zip(then, now, strict=True)
        for part in ("matchExpressions", "matchFields")
        for old_term, term in [(before.get(part) or [], after.get(part) or [])]
    )


def _renamed(requirement: Object, key: str | None) -> Object:
    return {**requirement, "key": key} if key and _GA_LABELS.get(requirement.get("key", "")) == key else requirement


def _comparable(after: Object, before: Object, kind: str) -> Object | None:
    """The new source; the secret for expansion may be added later."""
    source: Object | None = after.get(kind)
    if kind == "csi" and source and before.get("csi") and before["csi"].get("controllerExpandSecretRef") is None:
        return {field: value for field, value in source.items() if field != "controllerExpandSecretRef"}
    return source
