"""Walking a built-in kind's definition field by field: what the metas of strategic merge and of apply share."""

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.meta.patches import FieldMeta

_NOTHING: Mapping[str, Any] = {}


class SchemaFields:
    """The PatchMeta of one schema node, made by `describe` field by field when a field is asked for.

    describe: what one field's name and schema say, given the node it belongs to. An unknown field is described by the
    empty schema.
    """

    __slots__ = ("_definitions", "_describe", "_fields", "_nodes", "schema")

    def __init__(
        self,
        definitions: Mapping[str, Any],
        schema: Mapping[str, Any],
        describe: "Callable[[SchemaFields, str, Mapping[str, Any]], FieldMeta]",
        nodes: "dict[int, SchemaFields] | None" = None,
    ) -> None:
        """nodes: those made so far, by the identity of their schema; each is made once."""
        self._definitions, self.schema, self._describe = definitions, schema, describe
        self._nodes: dict[int, SchemaFields] = {} if nodes is None else nodes
        # Of the fields the schema names, so that a client cannot fill it. Every write walks its object along these.
        self._fields: dict[str, FieldMeta] = {}

    @property
    def is_map(self) -> bool:
        """Whether its fields are entries of a map, not those of a type."""
        return "additionalProperties" in self.schema

    def field(self, name: str) -> FieldMeta:
        """How the field is merged, and the schema of its value (of its items when it is a list)."""
        known = self._fields.get(name)
        if known is not None:
            return known
        found = self.schema.get("properties", {}).get(name)
        if found is not None:
            meta = self._fields[name] = self._describe(self, name, found)
            return meta
        entries = self.schema.get("additionalProperties")
        return self._describe(self, name, entries if isinstance(entries, dict) else _NOTHING)

    def node(self, schema: Mapping[str, Any]) -> "SchemaFields":
        """The meta of another node of the same definitions."""
        found = self._nodes.get(id(schema))
        if found is None:
            found = self._nodes[id(schema)] = SchemaFields(self._definitions, schema, self._describe, self._nodes)
        return found

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a schema refers to in the end; itself when it says what it is."""
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"]]
        return schema
