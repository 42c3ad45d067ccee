"""The definitions as a tree of types: lists, maps and structs around the values of `schema_values`.

`clean` reads what the gate refused: it returns the value without unknown fields, nulls and the zeros that Go does not
write, and tells what it met (the first wrong value in the sentence of encoding/json). `normalize` only spells
quantities and times canonically; subtrees that hold none are not entered.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.api.go_types import omitted
from apimachinery.api.schema_gate import always_there
from apimachinery.api.schema_values import (
    BOOL,
    BYTES,
    FLOAT64,
    INT32,
    INT64,
    SPECIAL,
    STRING,
    Findings,
    Place,
    Type,
)


class ListOf(Type):
    """A list."""

    def __init__(self, item: Type) -> None:
        self._item = item

    @property
    def go(self) -> str:
        return f"[]{self._item.go}"

    @property
    def holds_normalized(self) -> bool:
        return self._item.holds_normalized

    def zero(self) -> Any:
        return []

    def clean(self, value: Any, at: Place, out: Findings) -> Any:
        if not isinstance(value, list):
            out.mismatch(at, value, self.go, "of type array")
            return []
        item = self._item
        return [
            item.zero() if each is None else item.clean(each, at.index(position), out)
            for position, each in enumerate(value)
        ]

    def normalize(self, value: Any) -> Any:
        item = self._item
        for position, each in enumerate(value):
            value[position] = item.normalize(each)
        return value


class MapOf(Type):
    """A map from strings."""

    def __init__(self, item: Type) -> None:
        self._item = item

    @property
    def go(self) -> str:
        return f"map[string]{self._item.go}"

    @property
    def holds_normalized(self) -> bool:
        return self._item.holds_normalized

    def zero(self) -> Any:
        return {}

    def clean(self, value: Any, at: Place, out: Findings) -> Any:
        if not isinstance(value, dict):
            out.mismatch(at, value, self.go, "of type object")
            return {}
        item = self._item
        return {key: item.zero() if each is None else item.clean(each, at.key(key), out) for key, each in value.items()}

    def normalize(self, value: Any) -> Any:
        item = self._item
        for key, each in value.items():
            value[key] = item.normalize(each)
        return value


class Struct(Type):
    """A named object with known fields. Filled in after its making, because types refer to each other."""

    def __init__(self, definition: str) -> None:
        *_, package, self._name = definition.split(".")
        self._go = f"{package}.{self._name}"
        self._fields: dict[str, Type] = {}
        self._always: dict[str, Any] = {}
        self._omitted: frozenset[str] = frozenset()
        self._normalized: tuple[tuple[str, Type], ...] = ()

    @property
    def go(self) -> str:
        return self._go

    @property
    def holds_normalized(self) -> bool:
        return bool(self._normalized)

    def fill(self, fields: dict[str, Type], always: Iterable[str], omitted: frozenset[str]) -> None:
        """Give the fields, once. always: those that are there with their zero when a body leaves them out. omitted:
        those that are left out when a body gives them their zero."""
        self._fields, self._omitted = fields, omitted
        self._always = {name: fields[name].zero() for name in always}

    def settle(self) -> bool:
        """Find out which fields hold something to normalize; True when that changed (run until none does)."""
        found = tuple((name, each) for name, each in self._fields.items() if each.holds_normalized)
        changed = len(found) != len(self._normalized)
        self._normalized = found
        return changed

    def zero(self) -> Any:
        return {}

    def clean(self, value: Any, at: Place, out: Findings) -> Any:
        if not isinstance(value, dict):
            out.mismatch(at, value, self.go, "of type object")
            return {}
        kept = {key: zero for key, zero in self._always.items() if value.get(key) is None}
        for key, each in value.items():
            known = self._fields.get(key)
            place = at.field(key, self._name)
            if known is None:
                out.unknown.append(place.path)
            elif each is not None:
                read = known.clean(each, place, out)
                if read or key not in self._omitted:
                    kept[key] = read
        return kept

    def normalize(self, value: Any) -> Any:
        for name, each in self._normalized:
            if name in value:
                value[name] = each.normalize(value[name])
        return value


class Kind:
    """A whole body of one kind."""

    def __init__(self, root: Type) -> None:
        self._root = root

    def clean(self, obj: Any, out: Findings) -> dict[str, Any]:
        """The body with what is known of it; see `Type.clean`."""
        cleaned: dict[str, Any] = self._root.clean(obj, Place(), out)
        return cleaned

    def normalize(self, obj: dict[str, Any]) -> dict[str, Any]:
        """The body, its quantities and times spelled canonically, in place."""
        self._root.normalize(obj)
        return obj


class Types:
    """The types of all definitions, made when first asked for."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._made: dict[str, Type] = dict(SPECIAL)
        self._kinds: dict[str, Kind] = {}

    def named(self, definition: str) -> Kind:
        """The kind of that definition."""
        if definition not in self._kinds:
            root = self._ref(definition)
            structs = [each for each in self._made.values() if isinstance(each, Struct)]
            while sum(each.settle() for each in structs):
                pass  # a struct learns from its fields, which may be structs that have not learnt yet
            self._kinds[definition] = Kind(root)
        return self._kinds[definition]

    def _ref(self, name: str) -> Type:
        if name in self._made:
            return self._made[name]
        schema = self._definitions[name]
        if "properties" not in schema:
            made = self._made[name] = self._of(schema)
            return made
        struct = self._made[name] = Struct(name)
        fields = {key: self._of(value) for key, value in schema["properties"].items()}
        struct.fill(fields, always_there(name, schema), omitted(self._definitions, name))
        return struct

    def _of(self, schema: Mapping[str, Any]) -> Type:
        if "$ref" in schema:
            return self._ref(schema["$ref"])
        match schema.get("type"):
            case "string":
                return BYTES if schema.get("format") == "byte" else STRING
            case "integer":
                return INT32 if schema.get("format") == "int32" else INT64
            case "number":
                return FLOAT64
            case "boolean":
                return BOOL
            case "array":
                return ListOf(self._of(schema["items"]))
            case "object" if isinstance(schema.get("additionalProperties"), dict):
                return MapOf(self._of(schema["additionalProperties"]))
            case _:
                return Type()
