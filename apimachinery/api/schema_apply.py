"""What server-side apply must know of a built-in kind: x-kubernetes-list-type, -list-map-keys and -map-type.

Not quite what strategic merge patch goes by: a selector is one value, conditions without a patch strategy are keyed.
Source: kube-openapi's pkg/schemaconv (from OpenAPI to structured-merge-diff's types).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from apimachinery.api.schema import SCHEMA
from apimachinery.meta.patches import FieldMeta

_SET = ("merge",)
_ATOMIC = ("replace",)


class ApplyMeta:
    """The PatchMeta of one schema node, where "merge" with keys means a map list, "merge" alone a set, "replace" a map
    that is one value; any other list is one value too."""

    __slots__ = ("_definitions", "_fields", "_schema")

    def __init__(self, definitions: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
        self._definitions, self._schema = definitions, schema
        self._fields: dict[str, FieldMeta] = {}

    @property
    def is_map(self) -> bool:
        """Whether its fields are entries of a map, not those of a type."""
        return "additionalProperties" in self._schema

    def field(self, name: str) -> FieldMeta:
        """How the field is applied, and the schema of its value (of its items when it is a list)."""
        known = self._fields.get(name)
        if known is not None:
            return known
        found = self._schema.get("properties", {}).get(name)
        named = found is not None
        if found is None:
            found = self._schema.get("additionalProperties")
        meta = self._meta(found) if isinstance(found, dict) else FieldMeta((), "", _OPEN)
        if named:
            # Only of the fields that the schema names, so that a client cannot fill it.
            self._fields[name] = meta
        return meta

    def _meta(self, found: Mapping[str, Any]) -> FieldMeta:
        inner = self._resolve(found)
        if inner.get("type") == "array":
            below = ApplyMeta(self._definitions, self._resolve(inner["items"]))
            kind = found.get("x-kubernetes-list-type")
            merge_key = found.get("x-kubernetes-patch-merge-key", "")
            keys = tuple(found.get("x-kubernetes-list-map-keys") or ())
            if kind is None and "merge" in found.get("x-kubernetes-patch-strategy", ""):
                kind = "map" if merge_key else "set"
            if kind == "map":
                keys = keys or (merge_key,)
                return FieldMeta(_SET, keys[0], below, keys)
            return FieldMeta(_SET if kind == "set" else (), "", below)
        atomic = "atomic" in (found.get("x-kubernetes-map-type"), inner.get("x-kubernetes-map-type"))
        return FieldMeta(_ATOMIC if atomic else (), "", ApplyMeta(self._definitions, inner))

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"]]
        return schema


_OPEN = ApplyMeta({}, {})


@lru_cache(maxsize=512)
def apply_meta(gvk: tuple[str, str, str]) -> ApplyMeta:
    """Of a built-in kind. Raises UnknownKind."""
    return ApplyMeta(SCHEMA.definitions, SCHEMA.definitions[SCHEMA.definition_name(gvk)])
