"""The order of an object's keys where people read it: that of Go's types, which begin with the kind and the name. Kinds
that are defined by a CustomResourceDefinition are maps in Go, whose keys are sorted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from apimachinery.api.go_types import message, short
from controlplane.apiserver.front.protobuf_messages import definition_of

_META = "meta.v1.ObjectMeta"
_TYPE = ("kind", "apiVersion")


def in_go_order(document: Any) -> Any:
    """The document with its keys, those of its metadata and of its items in order; deeper ones stay as they are, and so
    does what is no object of the API."""
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        return document
    version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        return document
    if definition := definition_of(version, kind):
        return _typed(document, short(definition))
    group = version.rpartition("/")[0]
    if not group or group.endswith(".k8s.io"):
        return document
    return orjson.loads(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def _typed(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = _placed(document, [*_TYPE, *_fields(name)])
    if isinstance(items := found.get("items"), list):
        found["items"] = [_typed(each, name.removesuffix("List")) if isinstance(each, dict) else each for each in items]
    elif isinstance(meta := found.get("metadata"), dict):
        found["metadata"] = _placed(meta, _fields(_META))
    return found


def _fields(name: str) -> list[str]:
    return [field.name for _, field in sorted((message(name) or {}).items())]


def _placed(held: dict[str, Any], order: Iterable[str]) -> dict[str, Any]:
    return {key: held[key] for key in order if key in held} | held
