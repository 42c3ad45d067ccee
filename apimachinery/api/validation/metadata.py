"""Object metadata: what every kind is checked for on create and on update (apimachinery/pkg/api/validation)."""

from collections.abc import Mapping
from typing import Any

from apimachinery.api.validation.checks import (
    NameCheck,
    Object,
    dns_label,
    immutable,
    labels,
    nonnegative,
    qualified_name,
    sentences,
)
from apimachinery.api.validation.go_values import go_strings, go_time
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, required, too_long

_ANNOTATIONS_LIMIT = 256 * 1024
_FINALIZER_ORPHAN = "orphan"
_FINALIZER_FOREGROUND = "foregroundDeletion"
_STANDARD_FINALIZERS = ("kubernetes", _FINALIZER_ORPHAN, _FINALIZER_FOREGROUND)


def object_meta(obj: Object, namespaced: bool, name_check: NameCheck, path: Path | None = None) -> list[Problem]:
    """Metadata of a new object."""
    path = path or Path("metadata")
    meta = obj.get("metadata") or {}
    problems: list[Problem] = []
    if generate := meta.get("generateName"):
        problems += sentences(name_check(_mask_dash(generate)), generate, path.child("generateName"))
    name = meta.get("name")
    if not name:
        problems.append(required(path.child("name"), "name or generateName is required"))
    else:
        problems += sentences(name_check(name), name, path.child("name"))
    namespace = meta.get("namespace")
    if namespaced:
        problems += dns_label(namespace, path.child("namespace")) if namespace else [required(path.child("namespace"))]
    elif namespace:
        problems.append(forbidden(path.child("namespace"), "not allowed on this type"))
    problems += nonnegative(meta.get("generation"), path.child("generation"))
    return problems + _common(meta, path)


def object_meta_update(new: Object, old: Object) -> list[Problem]:
    """What an update may do to the metadata."""
    path = Path("metadata")
    meta, before = new.get("metadata") or {}, old.get("metadata") or {}
    problems: list[Problem] = []
    if before.get("deletionTimestamp"):
        added = sorted(set(meta.get("finalizers") or ()) - set(before.get("finalizers") or ()))
        if added:
            text = "no new finalizers can be added if the object is being deleted, found new finalizers "
            problems.append(forbidden(path.child("finalizers"), text + go_strings(added)))
    if not meta.get("resourceVersion"):
        problems.append(invalid(path.child("resourceVersion"), "", "must be specified for an update"))
    if (meta.get("generation") or 0) < (before.get("generation") or 0):
        problems.append(invalid(path.child("generation"), meta.get("generation") or 0, "must not be decremented"))
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        said = meta.get(field)
        shown = go_time(said) if said and field.endswith("Timestamp") and said != before.get(field) else None
        problems += immutable(said, before.get(field), path.child(field), shown)
    return _common(meta, path) + problems


def standard_finalizers(obj: Object) -> list[Problem]:
    """Finalizers of an object whose kind upstream judges with the core group's rules for metadata."""
    path = Path("metadata.finalizers")
    found = (obj.get("metadata") or {}).get("finalizers") or ()
    return [
        problem for position, each in enumerate(found) for problem in standard_finalizer(each, path.index(position))
    ]


def standard_finalizer(text: str, path: Path) -> list[Problem]:
    """A finalizer without a domain: one of Kubernetes' own."""
    if "/" in text or text in _STANDARD_FINALIZERS:
        return []
    return [invalid(path, text, "name is neither a standard finalizer name nor is it fully qualified")]


def template_meta(meta: Object, path: Path) -> list[Problem]:
    """The metadata of an ephemeral volume's claim template: labels and annotations, nothing else."""
    problems = annotations(meta.get("annotations"), path.child("annotations"))
    problems += labels(meta.get("labels"), path.child("labels"))
    others = (field for field, value in meta.items() if value and field not in ("annotations", "labels"))
    return problems + [forbidden(path.child(field), "cannot be set") for field in others]


def annotations(values: Mapping[str, str] | None, path: Path) -> list[Problem]:
    """Keys (without regard to case) and the size of all annotations together."""
    problems: list[Problem] = []
    size = 0
    for key, value in (values or {}).items():
        problems += sentences(names.qualified_name(key.lower()), key, path)
        size += len(key.encode()) + len(value.encode())
    if size > _ANNOTATIONS_LIMIT:
        problems.append(too_long(path, _ANNOTATIONS_LIMIT))
    return problems


def _common(meta: Object, path: Path) -> list[Problem]:
    problems = labels(meta.get("labels"), path.child("labels"))
    problems += annotations(meta.get("annotations"), path.child("annotations"))
    problems += _owners(meta.get("ownerReferences") or [], path.child("ownerReferences"))
    finalizers = meta.get("finalizers") or []
    for finalizer in finalizers:
        problems += qualified_name(finalizer, path.child("finalizers"))
    if _FINALIZER_ORPHAN in finalizers and _FINALIZER_FOREGROUND in finalizers:
        text = f"finalizer {_FINALIZER_ORPHAN} and {_FINALIZER_FOREGROUND} cannot be both set"
        problems.append(invalid(path.child("finalizers"), go_strings(finalizers), text))
    return problems


def _owners(references: list[dict[str, Any]], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    controller = ""
    for reference in references:
        version = reference.get("apiVersion", "")
        kind, name = reference.get("kind", ""), reference.get("name", "")
        if not version.rpartition("/")[2]:
            problems.append(invalid(path.child("apiVersion"), version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not reference.get(field):
                problems.append(invalid(path.child(field), "", f"{field} must not be empty"))
        if (version, kind) == ("v1", "Event"):
            problems.append(invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            if controller:
                text = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {kind}/{name}"
                )
                problems.append(invalid(path, references, text))
            else:
                controller = f"{kind}/{name}"
    return problems


def _mask_dash(prefix: str) -> str:
    """A generateName may end in a dash, since letters will follow."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def path_segment(value: str) -> list[str]:
    """A name that only has to fit into a URL: roles and bindings (apimachinery/pkg/api/validation/path)."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in ("/", "%") if char in value]
