"""The definitions as each version of OpenAPI writes them, with their prose."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def swagger(schema: Mapping[str, Any], descriptions: Mapping[str, str], name: str) -> Json:
    """The definition of that name in version 2.0."""
    return _written(schema, descriptions, name, lambda other: {"$ref": f"#/definitions/{other}"})


def openapi(schema: Mapping[str, Any], descriptions: Mapping[str, str], name: str) -> Json:
    """The definition of that name in version 3.0."""
    if name == _QUANTITY:
        return {"description": descriptions.get(name, ""), "oneOf": [{"type": "string"}, {"type": "number"}]}
    if name == _INT_OR_STRING:
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    # A reference may have no siblings in 3.0, so it is wrapped.
    return _written(schema, descriptions, name, lambda other: {"allOf": [{"$ref": f"#/components/schemas/{other}"}]})


def _written(
    schema: Mapping[str, Any], descriptions: Mapping[str, str], place: str, refer: Callable[[str], Json]
) -> Json:
    out: Json = {}
    if place in descriptions:
        out["description"] = descriptions[place]
    for key, value in schema.items():
        match key:
            case "$ref":
                out |= refer(value)
            case "properties":
                below = {name: _written(each, descriptions, f"{place}/{name}", refer) for name, each in value.items()}
                out[key] = below
            case "items" | "additionalProperties" if isinstance(value, dict):
                out[key] = _written(value, descriptions, f"{place}/*", refer)
            case _:
                out[key] = value
    return out


def mentioned(node: Any) -> Iterator[str]:
    """The names that references in `node` end in."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from mentioned(value)
    elif isinstance(node, list):
        for value in node:
            yield from mentioned(value)


def reachable(definitions: Mapping[str, Any], roots: set[str]) -> set[str]:
    """The definitions that roots need, themselves among them."""
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending.extend(mentioned(definitions[name]))
    return seen
