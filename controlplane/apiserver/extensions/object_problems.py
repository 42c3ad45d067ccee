"""What an object of a defined kind is refused for, or warned of, beside its schema: objects within it, replicas, its
status when that is written alone, its finalizers
(k8s.io/apiextensions-apiserver/pkg/registry/customresource, pkg/apiserver/schema/objectmeta)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.validation.metadata import object_meta, path_segment
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, invalid, required
from controlplane.apiserver.extensions import structural
from controlplane.apiserver.extensions.go_values import go_value
from controlplane.apiserver.extensions.paths import dotted, find
from controlplane.apiserver.extensions.values import check
from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]

_MOST = 2**31 - 1
_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_GO_TYPES = {str: "string", float: "float64", int: "int64", bool: "bool", list: "[]interface {}", type(None): "<nil>"}
_AVOID = "to avoid accidental conflicts with other finalizer writers"


def status_problems(schema: Mapping[str, Any], obj: Object) -> list[Problem]:
    """Of the status by its own schema. In the sentences its fields have no more than their name below it."""
    below = (schema.get("properties") or {}).get("status")
    if below is None or "status" not in obj:
        return []
    return [
        Problem(each.type, "status" if each.path == "<nil>" else f"status.{each.path}", each.message)
        for each in check(below, obj["status"], "")
    ]


def replicas_problems(resource: Resource, obj: Object, *, only_status: bool = False) -> Iterator[Problem]:
    """Replicas, where the definition says they are, are no negative numbers, and the selector is a text."""
    if not isinstance(resource, DefinedResource) or resource.subresource("scale") is None:
        return
    about = resource.definition["subresources"]["scale"]
    for key in ("statusReplicasPath",) if only_status else ("specReplicasPath", "statusReplicasPath"):
        where = _place(about[key])
        for value in find(obj, dotted(about[key])):
            if type(value) is not int:
                yield invalid(where, 0, _not_of_type(about[key], value, "int64"))
            elif value < 0:
                yield invalid(where, value, "should be a non-negative integer")
            elif value > _MOST:
                yield invalid(where, value, f"should be less than or equal to {_MOST}")
    if path := about.get("labelSelectorPath"):
        for value in find(obj, dotted(path)):
            if not isinstance(value, str):
                yield invalid(_place(path), "", _not_of_type(path, value, "string"))


def _place(path: str) -> Path:
    """Upstream shows these paths with their first dot."""
    return Path(f".{path}")


def _not_of_type(path: str, value: Any, wanted: str) -> str:
    have = "map[string]interface {}" if isinstance(value, dict) else _GO_TYPES[type(value)]
    shown = "<nil>" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{path} accessor error: {shown} is of the type {have}, expected {wanted}"


def embedded_problems(node: structural.Node, obj: Object) -> Iterator[Problem]:
    """Of every object within the object: its apiVersion, kind and metadata."""
    for path, inner in structural.embedded_objects(obj, node):
        where = Path(path)
        for field in ("apiVersion", "kind"):
            if field not in inner:
                yield required(where.child(field), "must not be empty")
        for field in ("apiVersion", "kind"):
            if field in inner:
                yield from _word(field, inner[field], where.child(field))
        if "metadata" in inner:
            yield from _metadata(inner["metadata"], where.child("metadata"))


def _word(field: str, value: Any, where: Path) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield invalid(where, go_value(value), "must be a string")
    elif not value:
        yield invalid(where, value, "must not be empty")
    elif field == "apiVersion":
        if value.count("/") > 1:
            yield invalid(where, value, f"unexpected GroupVersion string: {value}")
    elif wrong := names.dns1035_label(value.lower()):
        yield invalid(where, value, "may have mixed case, but should otherwise match: " + ",".join(wrong))


def _metadata(metadata: Any, where: Path) -> list[Problem]:
    """As of any object, but the name may be absent, or any that a path can hold."""
    if not isinstance(metadata, dict):
        return []
    shown = {"metadata": {**metadata, "name": metadata.get("name") or "fakename"}}
    return object_meta(shown, bool(metadata.get("namespace")), path_segment, where)


def finalizer_warnings(new: Object, old: Object | None) -> list[str]:
    """Of finalizers that were not there before."""
    had = set((old["metadata"].get("finalizers") or ()) if old is not None else ())
    return [
        f'metadata.finalizers: "{each}": {text}'
        for each in sorted(set(new["metadata"].get("finalizers") or ()) - had)
        for text in _finalizer_name(each)
    ]


def _finalizer_name(name: str) -> Iterator[str]:
    yield from names.qualified_name(name)
    if "/" in name or name in _STANDARD_FINALIZERS:
        return
    path = " including a path (/)" if "." in name else ""
    yield f"prefer a domain-qualified finalizer name{path} {_AVOID}"
