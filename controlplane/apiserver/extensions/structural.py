"""A version's schema as a tree along which objects are pruned and defaulted
(k8s.io/apiextensions-apiserver/pkg/apiserver/schema).

The dict of `openAPIV3Schema` stays the source for validation (`values.py`); here is what shapes an object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.meta.objects import copied

Object = dict[str, Any]
Schema = Mapping[str, Any]

UNSET = object()
_ENVELOPE = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One schema node. `extra`: the node of further fields (additionalProperties), True for any, None for none."""

    schema: Schema
    properties: Mapping[str, Node] = field(default_factory=dict)
    extra: Node | bool | None = None
    items: Node | None = None
    default: Any = UNSET
    nullable: bool = False
    preserves: bool = False
    embedded: bool = False
    has_defaults: bool = False

    @property
    def type(self) -> str:
        """ "object", "array", "string", … or "" (int-or-string, anything)."""
        return str(self.schema.get("type") or "")

    def below(self, name: str) -> Node | None:
        """The node of a field, or None."""
        found = self.properties.get(name)
        if found is None and isinstance(self.extra, Node):
            return self.extra
        return found


def build(schema: Schema) -> Node:
    """The tree of a schema. Costs a walk of it."""
    properties = {name: build(each) for name, each in (schema.get("properties") or {}).items()}
    more = schema.get("additionalProperties")
    extra = build(more) if isinstance(more, dict) else (True if more is True else None)
    items = build(schema["items"]) if isinstance(schema.get("items"), dict) else None
    default = schema.get("default", UNSET)
    inner = [*properties.values(), *(each for each in (extra, items) if isinstance(each, Node))]
    return Node(
        schema,
        properties,
        extra,
        items,
        UNSET if default is None else default,
        bool(schema.get("nullable")),
        bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        bool(schema.get("x-kubernetes-embedded-resource")),
        default not in (UNSET, None) or any(each.has_defaults for each in inner),
    )


def prune(value: Any, node: Node | None, path: str = "", *, envelope: bool = False, lenient: bool = False) -> list[str]:
    """Remove, in place, what the schema does not know; the paths of what was removed (`spec.ports[0].nmae`).

    envelope: whether the value is a whole object, whose apiVersion, kind and metadata always stay; lenient: whether a
    list around it keeps unknown fields, which its items then do, too. Of what only `additionalProperties: true` allows,
    nothing below is known.
    """
    lenient = lenient or (node is not None and node.preserves)
    if isinstance(value, list):
        found: list[str] = []
        items = node.items if node is not None else None
        if items is None and lenient:
            return found
        for position, item in enumerate(value):
            whole = items is not None and items.embedded
            found += prune(item, items, f"{path}[{position}]", envelope=whole, lenient=lenient)
        return found
    if not isinstance(value, dict):
        return []
    if node is None:
        node = _EMPTY
    found = []
    for name in list(value):
        if envelope and name in _ENVELOPE:
            continue
        here = f"{path}.{name}" if path else name
        below = node.below(name)
        if below is not None:
            found += prune(value[name], below, here, envelope=below.embedded)
        elif node.extra is True:
            found += prune(value[name], None, here)
        elif not lenient:
            del value[name]
            found.append(here)
    return found


def fill_defaults(value: Any, node: Node) -> None:
    """Set, in place, the defaults of absent fields; a null where none may be counts as absent. Nulls that are neither
    allowed nor replaced are dropped from objects."""
    if isinstance(value, dict):
        for name, below in node.properties.items():
            if value.get(name) is not None or (name in value and below.nullable):
                continue
            if below.default is not UNSET:
                value[name] = copied(below.default) if isinstance(below.default, dict | list) else below.default
            elif name in value:
                del value[name]
        for name in list(value):
            inner = node.below(name)
            if inner is None:
                continue
            if value[name] is None and name not in node.properties and not inner.nullable:
                if inner.default is UNSET:
                    del value[name]
                    continue
                value[name] = copied(inner.default) if isinstance(inner.default, dict | list) else inner.default
            fill_defaults(value[name], inner)
    elif isinstance(value, list) and node.items is not None:
        items = node.items
        for position, item in enumerate(value):
            if item is None and not items.nullable and items.default is not UNSET:
                value[position] = copied(items.default) if isinstance(items.default, dict | list) else items.default
            fill_defaults(value[position], items)


def embedded_objects(value: Any, node: Node, path: str = "") -> Iterator[tuple[str, Object]]:
    """Every object in it that the schema calls a whole one, with its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            below = node.below(name)
            if below is not None:
                here = f"{path}.{name}" if path else name
                if below.embedded and isinstance(inner, dict):
                    yield here, inner
                yield from embedded_objects(inner, below, here)
    elif isinstance(value, list) and node.items is not None:
        for position, item in enumerate(value):
            here = f"{path}[{position}]"
            if node.items.embedded and isinstance(item, dict):
                yield here, item
            yield from embedded_objects(item, node.items, here)


_EMPTY = Node({})
