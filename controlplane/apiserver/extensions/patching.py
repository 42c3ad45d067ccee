"""What server-side apply must know of a defined kind, from its x-kubernetes-list-type, -list-map-keys and -map-type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.api.schema import SCHEMA
from apimachinery.meta.patches import FieldMeta, PatchMeta

Schema = Mapping[str, Any]

_CONFIGMAP = ("", "v1", "ConfigMap")  # any kind will do: metadata is the same in all of them


class NodeMeta:
    """The PatchMeta of one schema node; whole: of an object with metadata."""

    __slots__ = ("_fields", "_schema", "_whole")

    def __init__(self, schema: Schema, *, whole: bool = False) -> None:
        self._schema, self._whole = schema, whole
        self._fields: dict[str, FieldMeta] = {}

    def field(self, name: str) -> FieldMeta:
        """How the field merges; a list without a type is atomic, a map is granular."""
        known = self._fields.get(name)
        if known is not None:
            return known
        if self._whole and name == "metadata":
            return SCHEMA.patch_meta(_CONFIGMAP).field("metadata")
        below = (self._schema.get("properties") or {}).get(name)
        declared = below is not None
        if below is None:
            more = self._schema.get("additionalProperties")
            below = more if isinstance(more, dict) else {}
        meta = _meta(below)
        if declared:
            self._fields[name] = meta
        return meta


def _meta(schema: Schema) -> FieldMeta:
    kind = schema.get("x-kubernetes-list-type")
    items = schema.get("items") if isinstance(schema.get("items"), dict) else None
    inner: PatchMeta = NodeMeta(items or schema, whole=bool((items or schema).get("x-kubernetes-embedded-resource")))
    if kind == "map":
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        below = (items or {}).get("properties") or {}
        defaults = {key: below[key]["default"] for key in keys if "default" in below.get(key, {})}
        return FieldMeta(("merge",), keys[0] if keys else "", inner, keys, defaults)
    if kind == "set":
        return FieldMeta(("merge",), "", inner)
    return FieldMeta(("replace",) if schema.get("x-kubernetes-map-type") == "atomic" else (), "", inner)
