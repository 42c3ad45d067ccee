"""PersistentVolumeClaims and the templates of ephemeral volumes (pkg/apis/core/validation)."""

from typing import Any

from apimachinery.api.validation.checks import (
    NOT_POSITIVE,
    Object,
    dns_label,
    dns_subdomain,
    immutable,
    is_native_resource,
    label_selector,
    qualified_name,
    same,
)
from apimachinery.api.validation.difference import difference
from apimachinery.api.validation.persistent_volumes import VOLUME_MODES, access_modes
from apimachinery.meta import quantity
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_CLASS = "volume.beta.kubernetes.io/storage-class"
_RESIZE = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def claim(obj: Object) -> list[Problem]:
    """A claim's spec."""
    return claim_spec(obj.get("spec") or {}, _SPEC)


def claim_update(new: Object, old: Object) -> list[Problem]:
    """Only a bound claim's size changes, upwards, and what names its volume and class is set once."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    problems: list[Problem] = []
    now, then = dict(after), dict(before)
    if not before.get("volumeName"):
        then["volumeName"] = now.get("volumeName")
    problems += _storage_class(new, old, now, then)
    bound = (new.get("status") or {}).get("phase") == "Bound"
    if bound and (now.get("resources") or {}).get("requests") is not None:
        now["resources"] = _with_size(now, _size(before))
    if bound and now.get("volumeAttributesClassName") is not None:
        now["volumeAttributesClassName"] = then.get("volumeAttributesClassName")
    if not same(now, then):
        text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
        problems.append(forbidden(_SPEC, f"{text}claims\n{difference(then, now)}"))
    size, least = _amount(_size(after)), _amount((((old.get("status") or {}).get("capacity")) or {}).get("storage"))
    if size < _amount(_size(before)) and size <= least:
        where = _SPEC.child("resources", "requests", "storage")
        problems.append(forbidden(where, "field can not be less than status.capacity"))
    problems += immutable(after.get("volumeMode"), before.get("volumeMode"), Path("volumeMode"))
    if not same(after.get("volumeAttributesClassName"), before.get("volumeAttributesClassName")):
        text = "update is forbidden when the VolumeAttributesClass feature gate is disabled"
        problems.append(forbidden(_SPEC.child("volumeAttributesClassName"), text))
    return problems


def claim_status(new: Object, old: Object) -> list[Problem]:
    """Sizes as reported by who binds and resizes."""
    status = new.get("status") or {}
    problems = [] if (new.get("spec") or {}).get("accessModes") else [required(Path("Spec.accessModes"))]
    path = Path("status.capacity")
    for name, text in (status.get("capacity") or {}).items():
        amount = quantity.parse(text)
        if amount.nano < 0:
            problems.append(invalid(path.key(name), amount.value, "must be a valid resource quantity"))
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        problems += _status_resource(name, Path("status.allocatedResourceStatus"))
        if state not in _RESIZE:
            problems.append(not_supported(Path("status.allocatedResourceStatus"), name, _RESIZE))
    path = Path("status.allocatedResources")
    for name, text in (status.get("allocatedResources") or {}).items():
        if wrong := _status_resource(name, path):
            problems += wrong
        elif (amount := quantity.parse(text)).nano < 0:
            problems.append(invalid(path.key(name), amount.value, "must be a valid resource quantity"))
    return problems


def _status_resource(name: str, path: Path) -> list[Problem]:
    """A resource that is resized: storage, or one with a domain of its own."""
    if problems := qualified_name(name, path):
        return problems
    return [not_supported(path, name, ("storage",))] if is_native_resource(name) and name != "storage" else []


def claim_spec(spec: Object, path: Path) -> list[Problem]:
    """The spec of a claim or of a template."""
    modes, where = spec.get("accessModes") or [], path.child("accessModes")
    problems = [] if modes else [required(where, "at least 1 access mode is required")]
    problems += label_selector(spec.get("selector"), path.child("selector"))
    problems += access_modes(modes, where)
    size, where = _size(spec), path.child("resources").key("storage")
    if size is None:
        problems.append(required(where))
    elif quantity.parse(size).nano <= 0:
        problems.append(invalid(where, size, NOT_POSITIVE))
    if named := spec.get("storageClassName"):
        problems += dns_subdomain(named, path.child("storageClassName"))
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        problems.append(not_supported(path.child("volumeMode"), mode, VOLUME_MODES))
    return problems + _data_sources(spec, path)


def _data_sources(spec: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, found in (("dataSource", source), ("dataSourceRef", reference)):
        if found is not None:
            problems += _data_source(found, path.child(field))
    namespace = (reference or {}).get("namespace")
    if namespace:
        problems += dns_label(namespace, path.child("dataSourceRef", "namespace"))
    if source is None or reference is None:
        return problems
    shown = Verbatim(str(path.child("dataSource")))
    if namespace:
        problems.append(invalid(path, shown, "may not be specified when dataSourceRef.namespace is specified"))
    elif any((source.get(field) or "") != (reference.get(field) or "") for field in ("apiGroup", "kind", "name")):
        problems.append(invalid(path, shown, "must match dataSourceRef"))
    return problems


def _data_source(source: Object, path: Path) -> list[Problem]:
    problems = [required(path.child(field)) for field in ("name", "kind") if not source.get(field)]
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    if group:
        return problems + dns_subdomain(group, path.child("apiGroup"))
    if kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        problems.append(invalid(path, kind, text))
    return problems


def _storage_class(new: Object, old: Object, now: dict[str, Any], then: dict[str, Any]) -> list[Problem]:
    """The class may move from the old annotation, and be set where there was none; `now` is then made equal."""
    annotations = (new.get("metadata") or {}).get("annotations") or {}
    before = (old.get("metadata") or {}).get("annotations") or {}
    after, had = now.get("storageClassName"), then.get("storageClassName")
    if _CLASS in before and had is None and after == before[_CLASS] == annotations.get(_CLASS, before[_CLASS]):
        now["storageClassName"] = None
        return []
    if after is not None and had is None and before.get(_CLASS, after) == after:
        now["storageClassName"] = None
    where = Path("metadata").child("annotations", _CLASS)
    return immutable(annotations.get(_CLASS, ""), before.get(_CLASS, ""), where)


def _size(spec: Object) -> Any:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")


def _with_size(spec: Object, size: Any) -> dict[str, Any]:
    resources = spec.get("resources") or {}
    return {**resources, "requests": {**(resources.get("requests") or {}), "storage": size}}


def _amount(text: Any) -> int:
    return quantity.parse(text).nano if text is not None else 0
