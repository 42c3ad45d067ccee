"""The fast check: one compiled JSON Schema per kind, with only the definitions it can reach.

The gate is stricter than the API: it also refuses unknown fields, nulls, malformed quantities, times and base64,
conditions without a type, zeros that Go would not write, and floats, of which 2.0 is an integer to JSON Schema. A body
it lets through needs no walk.
"""

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.api.go_types import omitted
from apimachinery.meta.numbers import may_hold_floats

Gate = Callable[[Any], bool]

_BOUNDS = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
}
_QUANTITY = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?$"
_TIME = r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]+)?Z$"
_BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

_SPECIAL: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "anyOf": [{"type": "string", "pattern": _QUANTITY}, {"type": "number"}]
    },
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "anyOf": [{"type": "string"}, {"type": "integer", **_BOUNDS["int32"]}]
    },
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string", "pattern": _TIME},
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": {"type": "string", "pattern": _TIME},
}


def compile_gate(definitions: Mapping[str, Any], name: str) -> Gate:
    """The check of one definition: True lets a body through. Takes 1–5 ms."""
    import jsonschema_rs  # 3 ms, which a server that is only read from need not spend

    reachable: dict[str, Any] = {}
    pending = [name]
    while pending:
        current = pending.pop()
        if current not in reachable:
            reachable[current] = _SPECIAL.get(current) or _named(definitions, current, pending)
    schema = {"$ref": f"#/$defs/{name}", "$defs": reachable}
    validator = jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions())
    is_valid: Gate = validator.is_valid
    return lambda body: is_valid(body) and not may_hold_floats(body)


def always_there(name: str, schema: Mapping[str, Any]) -> list[str]:
    """The fields of a definition that Go writes whether or not they were told, and that readers count on: type and
    status of a condition."""
    if not name.endswith("Condition") or name.endswith("MatchCondition"):
        return []
    return [key for key in schema.get("required", ()) if schema["properties"][key].get("type") == "string"]


def _named(definitions: Mapping[str, Any], name: str, pending: list[str]) -> dict[str, Any]:
    schema = _strict(definitions[name], pending)
    for field in omitted(definitions, name):
        schema["properties"][field] |= _something(schema["properties"][field]["type"])
    required = always_there(name, definitions[name])
    return {**schema, "required": required} if required else schema


def _something(kind: str) -> dict[str, Any]:
    """What a value of that type is when it is not Go's zero."""
    if kind == "boolean":
        return {"const": True}
    if kind in ("integer", "number"):
        return {"not": {"const": 0}}
    return {{"string": "minLength", "array": "minItems", "object": "minProperties"}[kind]: 1}


def _strict(schema: Mapping[str, Any], pending: list[str]) -> dict[str, Any]:
    if "$ref" in schema:
        pending.append(schema["$ref"])
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    if "properties" in schema:
        properties = {key: _strict(value, pending) for key, value in schema["properties"].items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}
    kind = schema.get("type")
    if kind == "object" and "additionalProperties" in schema:
        return {"type": "object", "additionalProperties": _strict(schema["additionalProperties"], pending)}
    if kind == "array":
        return {"type": "array", "items": _strict(schema["items"], pending)}
    if kind == "integer":
        return {"type": "integer", **_BOUNDS.get(schema.get("format", "int64"), _BOUNDS["int64"])}
    if kind == "string" and schema.get("format") == "byte":
        return {"type": "string", "pattern": _BASE64}
    return {"type": kind} if kind else {}
