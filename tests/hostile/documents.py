"""Objects as the schema describes them, with something wrong in a few places."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.api.schema import SCHEMA
from apimachinery.meta.objects import copied

DEEPEST = 7
# In the place of anything one of these is wrong, or is an absent field (null).
WRONG: list[Any] = [
    [[]], [5], {"": {"": []}}, "\0", "a\nb", -1, 0, 1 << 62, 1.5, True, False, None, "", "x" * 300, "-", "..", "%2F",
    {"$patch": "delete"}, [None], {"$patch": "replace", "a": 1}, "1e400", "9" * 40, {"a": {"b": {}}}, [{}], {},
    "Infinity", "\u202e",
]  # fmt: skip
WORDS = ["a", "web", "default", "100m", "1Gi", "2025-01-01T00:00:00Z", "TCP", "Always", "10.0.0.1", "http://x/", "80"]


def creatable() -> list[Resource]:
    """Every resource that a client may create."""
    return [resource for resource in CATALOGUE if "create" in resource.verbs]


def document(resource: Resource, chance: random.Random) -> dict[str, Any]:
    """One of its objects, drawn from the schema, with one to three values replaced by wrong ones."""
    made: dict[str, Any] = _value({"$ref": SCHEMA.definition_name(resource.gvk)}, chance, 0)
    made["apiVersion"], made["kind"] = resource.api_version, resource.kind
    metadata = made["metadata"] = made.get("metadata") if isinstance(made.get("metadata"), dict) else {}
    assert isinstance(metadata, dict)
    metadata.update(name=f"hostile-{chance.randrange(1 << 30)}")
    metadata.pop("namespace", None)
    for _ in range(chance.randint(1, 3)):
        spoil(made, chance)
    return made


def spoil(document: Any, chance: random.Random) -> None:
    """Put something wrong in one place, in place."""
    node = document
    while True:
        children = list(node.items() if isinstance(node, dict) else enumerate(node))
        if not children:
            return
        key, below = chance.choice(children)
        if not isinstance(below, dict | list) or not below or chance.random() < 0.15:
            node[key] = copied(chance.choice(WRONG))
            return
        node = below


def _value(schema: Mapping[str, Any], chance: random.Random, depth: int) -> Any:
    while "$ref" in schema:
        schema = SCHEMA.definitions[schema["$ref"]]
    if depth > DEEPEST:
        return [] if schema.get("type") == "array" else {}
    if properties := schema.get("properties"):
        required = schema.get("required", ())
        share = 0.9 if depth == 0 else 0.25
        return {
            name: _value(inner, chance, depth + 1)
            for name, inner in properties.items()
            if name in required or chance.random() < share
        }
    match schema.get("type"):
        case "array":
            return [_value(schema["items"], chance, depth + 1) for _ in range(chance.choice((0, 1, 1, 2)))]
        case "integer" | "number":
            return chance.choice((0, 1, 80, -1, 65536, 1 << 31, 1 << 53))
        case "boolean":
            return chance.random() < 0.5
        case "object":
            inner = schema.get("additionalProperties")
            if not isinstance(inner, Mapping):
                return {}
            return {chance.choice(WORDS): _value(inner, chance, depth + 1) for _ in range(chance.choice((0, 1, 2)))}
    return chance.choice(WORDS)
