"""What strategic merge patch must know, read from the definitions' x-kubernetes-patch-* extensions."""

from collections.abc import Mapping
from typing import Any

from apimachinery.meta.patches import FieldMeta


class SchemaPatchMeta:
    """The PatchMeta of one schema node. An unknown field merges as plain JSON does."""

    __slots__ = ("_definitions", "_fields", "_nodes", "_schema")

    def __init__(
        self, definitions: Mapping[str, Any], schema: Mapping[str, Any], nodes: dict[int, "SchemaPatchMeta"]
    ) -> None:
        """nodes: those made so far, by the identity of their schema; each is made once."""
        self._definitions, self._schema, self._nodes = definitions, schema, nodes
        # Of the fields the schema names, so that a client cannot fill it. Every write walks its object along these.
        self._fields: dict[str, FieldMeta] = {}

    def field(self, name: str) -> FieldMeta:
        """The strategy of the field and the schema of its value (of its items when it is a list)."""
        known = self._fields.get(name)
        if known is not None:
            return known
        found = self._schema.get("properties", {}).get(name)
        named = found is not None
        if found is None:
            found = self._schema.get("additionalProperties")
            if not isinstance(found, dict):
                found = {}
        text = found.get("x-kubernetes-patch-strategy", "")
        merge_key = found.get("x-kubernetes-patch-merge-key", "")
        inner = self._resolve(found)
        if inner.get("type") == "array":
            inner = self._resolve(inner["items"])
        meta = FieldMeta(
            tuple(text.split(",")) if text else (),
            merge_key,
            self._node(inner) if inner else _OPEN,
            tuple(found.get("x-kubernetes-list-map-keys") or ()),
        )
        if named:
            self._fields[name] = meta
        return meta

    def _node(self, schema: Mapping[str, Any]) -> "SchemaPatchMeta":
        found = self._nodes.get(id(schema))
        if found is None:
            found = self._nodes[id(schema)] = SchemaPatchMeta(self._definitions, schema, self._nodes)
        return found

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"]]
        return schema


_OPEN = SchemaPatchMeta({}, {}, {})
