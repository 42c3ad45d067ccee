# ruff: noqa: E501
# A table of sentences reads better whole.
"""What the schemas of definitions are refused for: upstream's fields, words and order."""

from typing import Any

import pytest

from tests.unit.controlplane.apiserver.extensions.definitions_for_validation import Object, changed, texts

_LIST = "x-kubernetes-list-type"
_KEYS = "x-kubernetes-list-map-keys"
_KEYED: Object = {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "o": {"type": "object"}}}


def _list(**fields: Any) -> Object:
    return {"type": "array", _LIST: "map", _KEYS: ["k"], "items": _KEYED, **fields}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (_list(), []),
        (
            {"type": "object", _LIST: "set"},
            ['type: Invalid value: "object": must be array if x-kubernetes-list-type is specified'],
        ),
        (_list(**{_LIST: "bag", _KEYS: []}), [f'{_LIST}: Unsupported value: "bag": supported values: "atomic", "set", "map"']),
        (_list(**{_LIST: "set"}), [f'items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with {_LIST}=set', f'{_LIST}: Invalid value: "set": must be map if {_KEYS} is non-empty']),
        (_list(**{_KEYS: ["k", "k", "z"]}), [f'{_KEYS}: Invalid value: []string{{"k", "k", "z"}}: must not contain duplicate entries', f'{_KEYS}: Invalid value: []string{{"k", "k", "z"}}: entries must all be names of item properties']),
        (_list(**{_KEYS: ["k", "o"]}), [f'items.properties[o].type: Invalid value: "object": must be a scalar type if parent array\'s {_LIST} is map', f"items.properties[o].default: Required value: this property is in {_KEYS}, so it must have a default or be a required property"]),
        (_list(items={**_KEYED, "nullable": True}), [f"items.nullable: Forbidden: cannot be nullable when {_LIST} is map"]),
        (_list(items={**_KEYED, "properties": {"k": {"type": "string", "nullable": True}}}), [f"items.properties[k].nullable: Forbidden: this property is in {_KEYS}, so it cannot be nullable"]),
        ({"type": "null"}, ['type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", "object", "string"', "type: Forbidden: type cannot be set to null, use nullable as an alternative"]),
        ({"type": "string", "x-kubernetes-map-type": "odd"}, ['type: Invalid value: "string": must be object if x-kubernetes-map-type is specified', 'x-kubernetes-map-type: Unsupported value: "odd": supported values: "atomic", "granular"']),
    ],
    ids=str,
)  # fmt: skip
def test_nodes(node: Object, expected: list[str]) -> None:
    found = texts(changed(lambda schema: schema["properties"].update(x=node)))
    assert found == [f"spec.validation.openAPIV3Schema.properties[x].{text}" for text in expected]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"rule": "true", "message": "m", "reason": "FieldValueInvalid", "fieldPath": ".spec['a.b']"}, []),
        ({"rule": " "}, ["rule: Required value: rule is not specified"]),
        ({"rule": "true", "message": " "}, ['message: Invalid value: " ": message must be non-empty if specified']),
        ({"rule": "true", "message": "a\nb"}, ['message: Invalid value: "a\\nb": message must not contain line breaks']),
        ({"rule": "true\n&& true"}, ["message: Required value: message must be specified if rule contains line breaks"]),
        ({"rule": "true", "messageExpression": " "}, ["messageExpression: Required value: messageExpression must be non-empty if specified"]),
        ({"rule": "true", "reason": "Odd"}, ['reason: Unsupported value: "Odd": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"']),
        ({"rule": "true", "fieldPath": ".nope"}, ['fieldPath: Invalid value: ".nope": fieldPath must be a valid path']),
        ({"rule": "true", "fieldPath": " "}, ['fieldPath: Invalid value: " ": fieldPath must be non-empty if specified', 'fieldPath: Invalid value: " ": fieldPath must be a valid path']),
    ],
    ids=str,
)  # fmt: skip
def test_rules(rule: Object, expected: list[str]) -> None:
    found = texts(changed(lambda schema: schema.update({"x-kubernetes-validations": [rule]})))
    assert found == [f"spec.validation.openAPIV3Schema.x-kubernetes-validations[0].{text}" for text in expected]


_ROOT = "spec.validation.openAPIV3Schema"


def test_the_root_when_the_status_is_a_subresource() -> None:
    wrong = changed(lambda schema: schema.update(type="array", items={"type": "string"}), subresources={"status": {}})
    assert texts(wrong)[0] == (
        f'{_ROOT}.type: Invalid value: "array": only "object" is allowed as the type at the root of the schema if the '
        "status subresource is enabled"
    )
    wrong = changed(lambda schema: schema.update(oneOf=[{"required": ["spec"]}]), subresources={"status": {}})
    [text] = texts(wrong)
    assert text.startswith(
        f'{_ROOT}: Invalid value: apiextensions.JSONSchemaProps{{ID:"", Schema:"", Ref:(*string)(nil)'
    )
    assert 'Required:[]string{"spec"}' in text
    assert '"spec":apiextensions.JSONSchemaProps{ID:""' in text
    assert ": only [Description Type Format Title Maximum" in text
    assert text.endswith(
        "XValidations] fields are allowed at the root of the schema if the status subresource is enabled"
    )
    assert texts(changed(lambda schema: schema.update(oneOf=[{"required": ["spec"]}]))) == []
    many = {f"f{number}": {"type": "string"} for number in range(5000)}
    wrong = changed(lambda schema: schema.update(oneOf=[{}], properties=many), subresources={"status": {}})
    assert texts(wrong)[0].startswith(f"{_ROOT}: Invalid value: apiextensions.JSONSchemaProps{{...}}: only [")


def test_a_nullable_root() -> None:
    wrong = changed(lambda schema: schema.update(nullable=True))
    assert texts(wrong) == [f"{_ROOT}.nullable: Forbidden: nullable cannot be true at the root"]


def test_defaults_in_the_envelope() -> None:
    kind = {"type": "string", "default": "Thing"}
    assert texts(changed(lambda schema: schema["properties"].update(kind=kind))) == [
        f"{_ROOT}.properties[kind].default: Forbidden: must not be set in top-level kind"
    ]


def test_defaults_that_break_their_own_rules() -> None:
    rule = {"rule": "self > 0", "message": "none"}
    field = {"type": "integer", "default": 0, "x-kubernetes-validations": [rule]}
    place = f"{_ROOT}.properties[spec].properties[n].default"
    assert texts(changed(lambda s: s["properties"]["spec"]["properties"].update(n=field))) == [
        f'{place}: Invalid value: "integer": none'
    ]
    good = {**field, "default": 1}
    assert texts(changed(lambda s: s["properties"]["spec"]["properties"].update(n=good))) == []


def test_an_integer_or_a_text_may_be_spelled_out() -> None:
    either = [{"type": "integer"}, {"type": "string"}]
    for key, found in (("anyOf", either), ("allOf", [{"anyOf": either}])):
        field = {"x-kubernetes-preserve-unknown-fields": True, key: found}
        assert texts(changed(lambda s, f=field: s["properties"]["spec"]["properties"].update(x=f))) == []


def test_metadata_is_not_even_described() -> None:
    metadata = {"type": "object", "description": "Whose."}
    assert texts(changed(lambda s: s["properties"].update(metadata=metadata))) == [
        f"{_ROOT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
        "metadata is implicitly specified"
    ]
