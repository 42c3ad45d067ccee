"""What strategic merge patch must know, read from the definitions' x-kubernetes-patch-* extensions."""

from collections.abc import Mapping
from typing import Any

from apimachinery.meta.patches import FieldMeta


class SchemaPatchMeta:
    """The PatchMeta of one schema node. An unknown field merges as plain JSON does."""

    __slots__ = ("_definitions", "_schema")

    def __init__(self, definitions: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._schema = schema

    def field(self, name: str) -> FieldMeta:
        """The strategy of the field and the schema of its value (of its items when it is a list)."""
        found = self._schema.get("properties", {}).get(name)
        if found is None:
            found = self._schema.get("additionalProperties")
            if not isinstance(found, dict):
                found = {}
        text = found.get("x-kubernetes-patch-strategy", "")
        merge_key = found.get("x-kubernetes-patch-merge-key", "")
        inner = self._resolve(found)
        if inner.get("type") == "array":
            inner = self._resolve(inner["items"])
        return FieldMeta(
            tuple(text.split(",")) if text else (),
            merge_key,
            SchemaPatchMeta(self._definitions, inner),
            tuple(found.get("x-kubernetes-list-map-keys") or ()),
        )

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"]]
        return schema
