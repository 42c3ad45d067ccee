"""What people are told about pods and pod templates although they are stored (pkg/api/pod/warnings.go)."""

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.api.verdicts import Good, digest
from apimachinery.api.warnings.labels import DEPRECATED_LABELS, selector_term
from apimachinery.api.warnings.paths import overlapping_paths
from apimachinery.api.warnings.volumes import claim_spec, fractional
from apimachinery.meta.paths import Path

Object = Mapping[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NULL_SELECTOR = "a null labelSelector results in matching no pod"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
_SILENT = Good()
# The field, how upstream's path spells it, what became of it.
_VOLUMES = (
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("ephemeral", "", ""),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
)


def pod_warnings(template: Object, path: Path | None = None) -> list[str]:
    """The warnings for a pod, or (with its path) for a pod template."""
    spec, annotations = template.get("spec") or {}, (template.get("metadata") or {}).get("annotations") or {}
    known = None if annotations else digest(spec)
    if known in _SILENT:
        return []
    base = path or Path()
    where = base.child("spec")
    notes = base.child("metadata", "annotations")
    found = [
        *_placement(spec, where),
        *(f"{notes.key(key)}: {text}" for key, text in _ANNOTATIONS.items() if key in annotations),
        *_volumes(spec, where.child("volumes")),
        *overlapping_paths(spec.get("volumes") or []),
        *_duplicates(spec, where),
        *fractional(spec.get("overhead"), where.child("overhead")),
        *_profiles(spec, annotations, notes, where, is_template=path is not None),
        *_ports(spec, where),
        *_grace(spec, where),
        *_pod_affinity(spec.get("affinity") or {}, where.child("affinity")),
    ]
    if not found:
        _SILENT.remember(known)
    return found


def _placement(spec: Object, path: Path) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if text := DEPRECATED_LABELS.get(key):
            yield f"{path.child('nodeSelector').key(key)}: {text}"
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = path.child("affinity", "nodeAffinity")
    for position, term in enumerate((node.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        yield from selector_term(term, where.child(_REQUIRED, "nodeSelectorTerms").index(position))
    for position, term in enumerate(node.get(_PREFERRED) or ()):
        place = where.child(_PREFERRED).index(position).child("preference")
        yield from selector_term(term.get("preference") or {}, place)
    for position, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = path.child("topologySpreadConstraints").index(position), constraint.get("topologyKey", "")
        if text := DEPRECATED_LABELS.get(key):
            yield f"{where.child('topologyKey')}: {key} is {text}"
        if constraint.get("labelSelector") is None:
            yield f"{where.child('labelSelector')}: {_NULL_SELECTOR}"


def _volumes(spec: Object, path: Path) -> Iterator[str]:
    for position, volume in enumerate(spec.get("volumes") or ()):
        where = path.index(position)
        for field, shown, text in _VOLUMES:
            if volume.get(field) is None:
                continue
            if text:
                yield f"{where.child(shown)}: {text}"
            elif template := volume[field].get("volumeClaimTemplate"):
                yield from claim_spec(template.get("spec") or {}, where.child(field, "volumeClaimTemplate", "spec"))


def _duplicates(spec: Object, path: Path) -> Iterator[str]:
    for field, key in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        values = [each.get(key) or "" for each in spec.get(field) or ()]
        for position, value in enumerate(values):
            if value in values[:position]:
                yield f'{path.child(field).index(position).child(key)}: duplicate {key} "{value}"'
        if field == "imagePullSecrets":
            for position, value in enumerate(values):
                if not value:
                    yield f'{path.child(field).index(position).child(key)}: invalid empty name ""'


def _containers(spec: Object, path: Path) -> Iterator[tuple[Object, Path]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for position, container in enumerate(spec.get(kind) or ()):
            yield container, path.child(kind).index(position)


def _profiles(spec: Object, annotations: Object, notes: Path, path: Path, *, is_template: bool) -> Iterator[str]:
    """Security profiles that only an annotation names; and each container's amounts and environment."""
    security = spec.get("securityContext") or {}
    old = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    if security.get("seccompProfile") is None and _SECCOMP_POD in annotations:
        yield f"{notes.key(_SECCOMP_POD)}: {old}"
    for container, where in _containers(spec, path):
        own = container.get("securityContext") or {}
        key = _SECCOMP_CONTAINER + container.get("name", "")
        if own.get("seccompProfile") is None and key in annotations:
            yield f"{notes.key(key)}: {old}"
        key = _APPARMOR + container.get("name", "")
        named = security.get("appArmorProfile") is not None or own.get("appArmorProfile") is not None
        if is_template and not named and key in annotations:
            yield f'{notes.key(key)}: deprecated since v1.30; use the "appArmorProfile" field instead'
        resources = container.get("resources") or {}
        for name in ("memory", "ephemeral-storage"):
            for kind in ("limits", "requests"):
                yield from fractional(resources.get(kind), where.child("resources", kind), only=name)
        yield from _environment(container, where.child("env"))


def _environment(container: Object, path: Path) -> Iterator[str]:
    seen: set[str] = set()
    for position, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value") or ""
        if name not in seen:
            seen.add(name)
            continue
        reference = f"$({name})"
        # A value that builds on the earlier one hides nothing.
        if variable.get("valueFrom") is not None or value == reference or reference not in value:
            text = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path.index(position)}: {text}"


def _ports(spec: Object, path: Path) -> Iterator[str]:
    known: dict[tuple[Any, Any], list[tuple[Path, str, int]]] = {}
    for container, where in _containers(spec, path):
        for position, port in enumerate(container.get("ports") or ()):
            place = where.child("ports").index(position)
            host, number = port.get("hostIP") or "", port.get("hostPort") or 0
            if host and not number:
                shown = (
                    f"{{Name:{port.get('name', '')} HostPort:0 ContainerPort:{port.get('containerPort', 0)} "
                    f"Protocol:{port.get('protocol', '')} HostIP:{host}}}"
                )
                yield f"{place}: hostIP set without hostPort: {shown}"
            others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other, other_host, other_number in others:
                if (host, number) == (other_host, other_number):
                    yield f"{place}: duplicate port definition with {other}"
                elif not number or not other_number:
                    yield f"{place}: overlapping port definition with {other}"
                elif number == other_number and (not host) != (not other_host):
                    yield f"{place}: dangerously ambiguous port definition with {other}"
            others.append((place, host, number))


def _grace(spec: Object, path: Path) -> Iterator[str]:
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        where = path.child("terminationGracePeriodSeconds")
        yield f"{where}: must be >= 0; negative values are invalid and will be treated as 1"


def _pod_affinity(affinity: Object, path: Path) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        found, where = affinity.get(kind) or {}, path.child(kind)
        for position, term in enumerate(found.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{where.child(_REQUIRED).index(position).child('labelSelector')}: {_NULL_SELECTOR}"
        for position, term in enumerate(found.get(_PREFERRED) or ()):
            if (term.get("podAffinityTerm") or {}).get("labelSelector") is None:
                place = where.child(_PREFERRED).index(position).child("podAffinityTerm", "labelSelector")
                yield f"{place}: {_NULL_SELECTOR}"
