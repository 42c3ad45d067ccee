"""/openapi/v2 in protobuf: the messages of gnostic's openapi.v2, read here by their published numbers."""

from apimachinery.api.catalogue import CATALOGUE
from controlplane.apiserver.discovery import openapi
from controlplane.apiserver.front.openapi_protobuf import openapi_v2
from controlplane.apiserver.front.protobuf import fields_of

PATHS, DEFINITIONS, PARAMETERS = 8, 9, 10


def all_of(message, number):
    return [value for at, value in fields_of(message) if at == number]


def one(message, *numbers):
    for number in numbers:
        (message,) = all_of(message, number)
    return message


def named(message, number=1):
    """A map by its names."""
    return {one(pair, 1).decode(): one(pair, 2) for pair in all_of(message, number)}


def test_everything_that_json_says_is_there():
    document = openapi.document_v2(CATALOGUE)
    written = openapi_v2(document)
    assert named(one(written, DEFINITIONS)).keys() == document["definitions"].keys()
    assert named(one(written, PATHS), 2).keys() == document["paths"].keys()
    assert named(one(written, PARAMETERS)).keys() == document["parameters"].keys()


def test_a_definition():
    schema = {
        "description": "A thing.",
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "format": "int32", "default": 0, "minimum": -1.5},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "more": {"$ref": "#/definitions/Thing"},
            "free": {"type": "object", "additionalProperties": {"type": "string", "enum": ["a"]}},
        },
        "x-kubernetes-group-version-kind": [{"group": "", "kind": "Thing", "version": "v1"}],
    }
    thing = named(one(openapi_v2({"swagger": "2.0", "definitions": {"Thing": schema}}), DEFINITIONS))["Thing"]
    assert (one(thing, 4), one(thing, 22, 1), one(thing, 19)) == (b"A thing.", b"object", b"size")
    (extension,) = all_of(thing, 31)
    assert one(extension, 1) == b"x-kubernetes-group-version-kind"
    assert one(extension, 2, 2) == b'[{"group":"","kind":"Thing","version":"v1"}]'
    properties = named(one(thing, 25))
    assert list(properties) == ["size", "tags", "more", "free"]
    size = properties["size"]
    assert (one(size, 2), one(size, 5, 2), one(size, 9)) == (b"int32", b"0", b"\0\0\0\0\0\0\xf8\xbf")
    assert one(properties["tags"], 23, 1, 22, 1) == b"string"
    assert one(properties["more"], 1) == b"#/definitions/Thing"
    assert one(properties["free"], 21, 1, 20, 2) == b'"a"'


def test_an_operation_with_parameters_of_every_place():
    query = {"name": "dryRun", "in": "query", "type": "string", "uniqueItems": True}
    operation = {
        "operationId": "patchThing",
        "parameters": [{"name": "body", "in": "body", "required": True, "schema": {"type": "object"}}, query],
        "responses": {"200": {"description": "OK", "schema": {"type": "string"}}},
        "x-kubernetes-action": "patch",
    }
    item = {"patch": operation, "parameters": [{"$ref": "#/parameters/pretty"}, {**query, "in": "path"}]}
    path = named(one(openapi_v2({"paths": {"/things": item}}), PATHS), 2)["/things"]
    patch = one(path, 8)
    assert one(patch, 5) == b"patchThing" and one(patch, 13, 2, 2) == b'"patch"'
    body, asked = (one(each, 1) for each in all_of(patch, 8))
    assert (one(body, 1, 2), one(body, 1, 4), one(body, 1, 5, 22, 1)) == (b"body", 1, b"object")
    assert (one(asked, 2, 3, 4), one(asked, 2, 3, 6), one(asked, 2, 3, 20)) == (b"dryRun", b"string", 1)
    answer = one(patch, 9, 1)
    assert (one(answer, 1), one(answer, 2, 1, 1), one(answer, 2, 1, 2, 1, 22, 1)) == (b"200", b"OK", b"string")
    reference, placed = all_of(path, 9)
    assert one(reference, 2, 1) == b"#/parameters/pretty"
    assert (one(placed, 1, 2, 4, 4), one(placed, 1, 2, 4, 5)) == (b"dryRun", b"string")
