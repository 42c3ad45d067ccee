"""The definitions as each version of OpenAPI writes them, with their prose."""

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def swagger(schema: Mapping[str, Any], descriptions: Mapping[str, str], place: str) -> Json:
    """In version 2.0. place: its name, to which the paths of its parts are appended."""
    out: Json = {}
    if place in descriptions:
        out["description"] = descriptions[place]
    for key, value in schema.items():
        match key:
            case "$ref":
                out[key] = f"#/definitions/{value}"
            case "properties":
                out[key] = {name: swagger(each, descriptions, f"{place}/{name}") for name, each in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                out[key] = swagger(value, descriptions, f"{place}/*")
            case _:
                out[key] = value
    return out


def openapi(schema: Mapping[str, Any], descriptions: Mapping[str, str], place: str) -> Json:
    """In version 3.0."""
    if place == _QUANTITY:
        return {"description": descriptions.get(place, ""), "oneOf": [{"type": "string"}, {"type": "number"}]}
    if place == _INT_OR_STRING:
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    out: Json = {}
    if place in descriptions:
        out["description"] = descriptions[place]
    for key, value in schema.items():
        match key:
            case "$ref":
                # A reference may have no siblings in 3.0, so it is wrapped.
                out["allOf"] = [{"$ref": f"#/components/schemas/{value}"}]
            case "properties":
                out[key] = {name: openapi(each, descriptions, f"{place}/{name}") for name, each in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                out[key] = openapi(value, descriptions, f"{place}/*")
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
