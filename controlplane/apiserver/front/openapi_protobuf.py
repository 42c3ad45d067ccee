"""/openapi/v2 in protobuf, the only form in which kubectl before 1.27 reads it (explain, client-side validation).

Source: the messages of openapi.v2 in gnostic's OpenAPIv2.proto; proto3, so that what is empty is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from controlplane.apiserver.front.protobuf_encode import delimited, double, number

Json = Mapping[str, Any]
Write = Callable[[int, Any], bytes]
Fields = tuple[tuple[str, int, Write], ...]


def openapi_v2(document: Json) -> bytes:
    """The message Document of a Swagger 2.0 document."""
    return _message(document, _DOCUMENT)


def _message(node: Json, fields: Fields) -> bytes:
    return b"".join([write(at, value) for name, at, write in fields if (value := node.get(name)) is not None])


def _text(at: int, value: str) -> bytes:
    return delimited(at, value.encode()) if value else b""


def _texts(at: int, values: Iterable[str]) -> bytes:
    return b"".join([delimited(at, value.encode()) for value in values])


def _number(at: int, value: int) -> bytes:
    return number(at, int(value)) if value else b""


def _within(*fields: tuple[str, int, Write]) -> Write:
    """A message of its own."""
    return lambda at, node: delimited(at, _message(node, fields))


def _named(write: Write) -> Write:
    """A map: a message of pairs, `name` and `value`."""
    return lambda at, nodes: delimited(at, b"".join([_pair(1, name, write(2, each)) for name, each in nodes.items()]))


def _pair(at: int, name: str, value: bytes) -> bytes:
    return delimited(at, delimited(1, name.encode()) + value)


def _any(at: int, value: Any) -> bytes:
    # As YAML; JSON is YAML.
    return delimited(at, delimited(2, orjson.dumps(value)))


def _extensions(at: int, node: Json) -> bytes:
    return b"".join([_pair(at, name, _any(2, value)) for name, value in node.items() if name.startswith("x-")])


def _schema(at: int, node: Json) -> bytes:
    return delimited(at, _message(node, _SCHEMA) + _extensions(31, node))


def _schemas(at: int, nodes: Iterable[Json]) -> bytes:
    return b"".join([_schema(at, node) for node in nodes])


def _additional(at: int, node: Json | bool) -> bytes:
    return delimited(at, number(2, 1) if node is True else b"" if node is False else _schema(1, node))


def _parameter(at: int, node: Json) -> bytes:
    """The message Parameter: of the body, or of one of the other places, each of which is a message of its own."""
    if node["in"] == "body":
        return delimited(at, delimited(1, _message(node, _BODY)))
    place, fields = _PLACES[node["in"]]
    return delimited(at, delimited(2, delimited(place, _message(node, fields))))


def _mentioned(at: int, nodes: Iterable[Json]) -> bytes:
    return b"".join(
        [
            delimited(at, delimited(2, _text(1, node["$ref"])) if "$ref" in node else _parameter(1, node))
            for node in nodes
        ]
    )


def _operation(at: int, node: Json) -> bytes:
    return delimited(at, _message(node, _OPERATION) + _extensions(13, node))


def _responses(at: int, nodes: Json) -> bytes:
    pairs = [_pair(1, code, delimited(2, delimited(1, _message(node, _RESPONSE)))) for code, node in nodes.items()]
    return delimited(at, b"".join(pairs))


def _paths(at: int, nodes: Json) -> bytes:
    return delimited(
        at, b"".join([_pair(2, path, delimited(2, _message(node, _ITEM))) for path, node in nodes.items()])
    )


def _required(at: int, nodes: Iterable[Json]) -> bytes:
    return b"".join([_named(lambda inner, words: delimited(inner, _texts(1, words)))(at, node) for node in nodes])


_BODY: Fields = (
    ("description", 1, _text),
    ("name", 2, _text),
    ("in", 3, _text),
    ("required", 4, _number),
    ("schema", 5, _schema),
)
_PLACED: Fields = (("required", 1, _number), ("in", 2, _text), ("description", 3, _text), ("name", 4, _text))
_QUERY: Fields = (*_PLACED, ("type", 6, _text), ("uniqueItems", 20, _number))
_ELSEWHERE: Fields = (*_PLACED, ("type", 5, _text), ("uniqueItems", 19, _number))
_PLACES = {"header": (1, _ELSEWHERE), "formData": (2, _QUERY), "query": (3, _QUERY), "path": (4, _ELSEWHERE)}
_SCHEMA: Fields = (
    ("$ref", 1, _text),
    ("format", 2, _text),
    ("title", 3, _text),
    ("description", 4, _text),
    ("default", 5, _any),
    ("multipleOf", 6, double),
    ("maximum", 7, double),
    ("exclusiveMaximum", 8, _number),
    ("minimum", 9, double),
    ("exclusiveMinimum", 10, _number),
    ("maxLength", 11, _number),
    ("minLength", 12, _number),
    ("pattern", 13, _text),
    ("maxItems", 14, _number),
    ("minItems", 15, _number),
    ("uniqueItems", 16, _number),
    ("maxProperties", 17, _number),
    ("minProperties", 18, _number),
    ("required", 19, _texts),
    ("enum", 20, lambda at, values: b"".join([_any(at, value) for value in values])),
    ("additionalProperties", 21, _additional),
    ("type", 22, lambda at, value: delimited(at, _text(1, value))),
    ("items", 23, lambda at, node: delimited(at, _schema(1, node))),
    ("allOf", 24, _schemas),
    ("properties", 25, _named(_schema)),
)
_RESPONSE: Fields = (("description", 1, _text), ("schema", 2, lambda at, node: delimited(at, _schema(1, node))))
_OPERATION: Fields = (
    ("tags", 1, _texts),
    ("description", 3, _text),
    ("operationId", 5, _text),
    ("produces", 6, _texts),
    ("consumes", 7, _texts),
    ("parameters", 8, _mentioned),
    ("responses", 9, _responses),
    ("schemes", 10, _texts),
)
_METHODS = (("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("options", 6), ("head", 7), ("patch", 8))
_ITEM: Fields = (*((method, at, _operation) for method, at in _METHODS), ("parameters", 9, _mentioned))
_KEY = _within(("type", 1, _text), ("name", 2, _text), ("in", 3, _text), ("description", 4, _text))
_DOCUMENT: Fields = (
    ("swagger", 1, _text),
    ("info", 2, _within(("title", 1, _text), ("version", 2, _text))),
    ("paths", 8, _paths),
    ("definitions", 9, _named(_schema)),
    ("parameters", 10, _named(_parameter)),
    ("security", 12, _required),
    ("securityDefinitions", 13, _named(lambda at, node: delimited(at, _KEY(2, node)))),
)
