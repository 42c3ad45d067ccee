# ruff: noqa: E501
# A table of sentences reads better whole.
"""What definitions are refused for: upstream's fields, words and order."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from controlplane.apiserver.extensions.field_paths import BadFieldPath, follow
from controlplane.apiserver.extensions.validation import validate_create, validate_status, validate_update

Object = dict[str, Any]
_SIZE: Object = {"type": "object", "properties": {"n": {"type": "integer"}, "a.b": {"type": "string"}}}
_SCHEMA: Object = {"type": "object", "properties": {"spec": _SIZE, "status": {"type": "object"}}}
_PLURAL: Object = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}


def _version(name: str = "v1", **fields: Any) -> Object:
    about = {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": _SCHEMA}}
    return deepcopy({**about, **fields})


def _definition(*versions: Object, **spec: Any) -> Object:
    about = {"group": "example.com", "scope": "Namespaced", "names": _PLURAL, "conversion": {"strategy": "None"}}
    return deepcopy(
        {
            "metadata": {"name": "things.example.com", "resourceVersion": "1"},
            "spec": {**about, "versions": list(versions) or [_version()], **spec},
            "status": {"storedVersions": ["v1"]},
        }
    )


def _texts(definition: Object) -> list[str]:
    return [str(problem) for problem in validate_create(definition)]


def _with(change: Callable[[Object], Any], **fields: Any) -> Object:
    version = _version(**fields)
    change(version["schema"]["openAPIV3Schema"])
    return _definition(version)


def test_a_good_one() -> None:
    good = _version(
        subresources={"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
        additionalPrinterColumns=[{"name": "N", "type": "integer", "format": "int32", "jsonPath": ".spec.n"}],
        selectableFields=[{"jsonPath": ".spec.n"}],
    )
    assert _texts(_definition(good, {**good, "name": "v2", "storage": False})) == []


_VERSION = (
    'apiextensions.CustomResourceDefinitionVersion{{Name:"{}", Served:true, Storage:{}, Deprecated:false, '
    "DeprecationWarning:(*string)(nil), Schema:(*apiextensions.CustomResourceValidation)(nil), "
    "Subresources:(*apiextensions.CustomResourceSubresources)(nil), "
    "AdditionalPrinterColumns:[]apiextensions.CustomResourceColumnDefinition(nil), "
    "SelectableFields:[]apiextensions.SelectableField(nil)}}"
)


def _go(*versions: str) -> str:
    return f"[]apiextensions.CustomResourceDefinitionVersion{{{', '.join(versions)}}}"


def test_without_a_stored_version() -> None:
    wrong = _definition(_version(storage=False))
    wrong["status"] = {"storedVersions": []}
    assert _texts(wrong) == [
        f"spec.versions: Invalid value: {_go(_VERSION.format('v1', 'false'))}: "
        "must have exactly one version marked as storage version",
        "status.storedVersions: Invalid value: []string(nil): must have at least one stored version",
    ]


def test_versions_of_one_name() -> None:
    shown = _go(_VERSION.format("v1", "true"), _VERSION.format("v1", "true"))
    assert _texts(_definition(_version(), _version())) == [
        f"spec.versions: Invalid value: {shown}: must contain unique version names",
        f"spec.versions: Invalid value: {shown}: must have exactly one version marked as storage version",
    ]


def test_what_versions_do_not_share_is_told_of_each() -> None:
    other = _version("v2", additionalPrinterColumns=[{"name": "N", "type": "text", "jsonPath": "spec"}])
    assert _texts(_definition(_version(), other)) == [
        'spec.versions[1].additionalPrinterColumns[0].type: Invalid value: "text": must be one of '
        "boolean,date,integer,number,string",
        'spec.versions[1].additionalPrinterColumns[0].JSONPath: Invalid value: "spec": '
        "must be a simple json path starting with .",
    ]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"type": "string", "jsonPath": ".a"}, ["name: Required value"]),
        (
            {"name": "a", "jsonPath": ".a"},
            ["type: Required value: must be one of boolean,date,integer,number,string"],
        ),
        (
            {"name": "a", "type": "string", "format": "bool", "jsonPath": ".a"},
            ['format: Invalid value: "bool": must be one of byte,date,date-time,double,float,int32,int64,password'],
        ),
        ({"name": "a", "type": "string"}, ["JSONPath: Required value"]),
    ],
    ids=str,
)
def test_columns(column: Object, expected: list[str]) -> None:
    found = _texts(_definition(_version(additionalPrinterColumns=[column])))
    assert found == [f"spec.additionalPrinterColumns[0].{text}" for text in expected]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([""], ["[0].jsonPath: Required value"]),
        (
            [".spec.nope"],
            ['[0].jsonPath: Invalid value: ".spec.nope": is an invalid path: does not refer to a valid field'],
        ),
        (["spec"], ['[0].jsonPath: Invalid value: "spec": is an invalid path: expected [ or . but got: spec']),
        (
            [".spec['a.b']"],
            ["[0].jsonPath: Invalid value: \".spec['a.b']\": is an invalid path: array notation is not allowed"],
        ),
        (
            [".spec"],
            [
                '[0].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer. '
                "Enum string fields and strings with formats are allowed."
            ],
        ),
        ([".spec.n", ".spec.n"], ['[1].jsonPath: Duplicate value: ".spec.n"']),
    ],
    ids=str,
)
def test_selectable_fields(paths: list[str], expected: list[str]) -> None:
    found = _texts(_definition(_version(selectableFields=[{"jsonPath": path} for path in paths])))
    assert found == [f"spec.selectableFields{text}" for text in expected]


def test_at_most_eight_selectable_fields() -> None:
    properties = {f"f{number}": {"type": "string"} for number in range(9)}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    wrong = _version(schema=schema, selectableFields=[{"jsonPath": f".{name}"} for name in properties])
    assert _texts(_definition(wrong)) == ["spec.selectableFields: Too many: 9: must have at most 8 items"]


@pytest.mark.parametrize(
    ("warning", "deprecated", "expected"),
    [
        ("soon", True, None),
        ("soon", False, "can only be set for deprecated versions"),
        ("", True, "must not be an empty string"),
        ("x" * 257, True, "must be <= 256 characters long"),
        ("ü\n", True, "must only contain printable UTF-8 characters; non-printable character found at index 2"),
    ],
)
def test_warnings_of_deprecation(warning: str, deprecated: bool, expected: str | None) -> None:
    found = validate_create(_definition(_version(deprecated=deprecated, deprecationWarning=warning)))
    assert [problem.path for problem in found] == (["spec.versions[0].deprecationWarning"] if expected else [])
    assert all(problem.message.endswith(f": {expected}") for problem in found)


_NOT_WEBHOOK = "should not be set when strategy is not set to Webhook"
_CLIENT: Object = {"url": "https://h/p"}


@pytest.mark.parametrize(
    ("conversion", "expected"),
    [
        ({"strategy": "Webhook", "webhook": {"clientConfig": _CLIENT, "conversionReviewVersions": ["v1"]}}, []),
        ({"strategy": ""}, ["strategy: Required value"]),
        ({"strategy": "Never"}, ['strategy: Unsupported value: "Never": supported values: "None", "Webhook"']),
        (
            {"strategy": "None", "webhook": {"clientConfig": _CLIENT, "conversionReviewVersions": ["v1"]}},
            [
                f"webhookClientConfig: Forbidden: {_NOT_WEBHOOK}",
                f"conversionReviewVersions: Forbidden: {_NOT_WEBHOOK}",
            ],
        ),
        (
            {"strategy": "Webhook"},
            [
                "webhookClientConfig: Required value: required when strategy is set to Webhook",
                "conversionReviewVersions: Required value",
            ],
        ),
        (
            {"strategy": "Webhook", "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v1", "v1", "X"]}},
            [
                "webhookClientConfig: Required value: exactly one of url or service is required",
                'conversionReviewVersions[1]: Invalid value: "v1": duplicate version',
                'conversionReviewVersions[2]: Invalid value: "X": a DNS-1035 label must consist of',
            ],
        ),
        (
            {"strategy": "Webhook", "webhook": {"clientConfig": _CLIENT, "conversionReviewVersions": ["v2"]}},
            ['conversionReviewVersions: Invalid value: []string{"v2"}: must include at least one of v1, v1beta1'],
        ),
        (
            {
                "strategy": "Webhook",
                "webhook": {"clientConfig": {"url": "http://h"}, "conversionReviewVersions": ["v1"]},
            },
            ["webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme"],
        ),
        (
            {
                "strategy": "Webhook",
                "webhook": {
                    "clientConfig": {"service": {"name": "a", "namespace": "b", "port": 0}},
                    "conversionReviewVersions": ["v1"],
                },
            },
            ["webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535"],
        ),
    ],
    ids=str,
)
def test_conversion(conversion: Object, expected: list[str]) -> None:
    found = _texts(_definition(conversion=conversion))
    assert len(found) == len(expected), found
    assert all(text.startswith(f"spec.conversion.{start}") for text, start in zip(found, expected, strict=True)), found


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
    found = _texts(_with(lambda schema: schema["properties"].update(x=node)))
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
    found = _texts(_with(lambda schema: schema.update({"x-kubernetes-validations": [rule]})))
    assert found == [f"spec.validation.openAPIV3Schema.x-kubernetes-validations[0].{text}" for text in expected]


_ROOT = "spec.validation.openAPIV3Schema"


def test_the_root_when_the_status_is_a_subresource() -> None:
    wrong = _with(lambda schema: schema.update(type="array", items={"type": "string"}), subresources={"status": {}})
    assert _texts(wrong)[0] == (
        f'{_ROOT}.type: Invalid value: "array": only "object" is allowed as the type at the root of the schema if the '
        "status subresource is enabled"
    )
    wrong = _with(lambda schema: schema.update(oneOf=[{"required": ["spec"]}]), subresources={"status": {}})
    [text] = _texts(wrong)
    assert text.startswith(
        f'{_ROOT}: Invalid value: apiextensions.JSONSchemaProps{{ID:"", Schema:"", Ref:(*string)(nil)'
    )
    assert 'Required:[]string{"spec"}' in text
    assert '"spec":apiextensions.JSONSchemaProps{ID:""' in text
    assert ": only [Description Type Format Title Maximum" in text
    assert text.endswith(
        "XValidations] fields are allowed at the root of the schema if the status subresource is enabled"
    )
    assert _texts(_with(lambda schema: schema.update(oneOf=[{"required": ["spec"]}]))) == []
    many = {f"f{number}": {"type": "string"} for number in range(5000)}
    wrong = _with(lambda schema: schema.update(oneOf=[{}], properties=many), subresources={"status": {}})
    assert _texts(wrong)[0].startswith(f"{_ROOT}: Invalid value: apiextensions.JSONSchemaProps{{...}}: only [")


def test_a_nullable_root() -> None:
    wrong = _with(lambda schema: schema.update(nullable=True))
    assert _texts(wrong) == [f"{_ROOT}.nullable: Forbidden: nullable cannot be true at the root"]


def test_defaults_in_the_envelope() -> None:
    kind = {"type": "string", "default": "Thing"}
    assert _texts(_with(lambda schema: schema["properties"].update(kind=kind))) == [
        f"{_ROOT}.properties[kind].default: Forbidden: must not be set in top-level kind"
    ]


def test_structure_is_told_before_the_rest_and_names_before_both() -> None:
    def spoil(schema: Object) -> None:
        schema["properties"].update(y={}, x={"type": "array", "uniqueItems": True})

    wrong = _with(spoil)
    wrong["spec"]["names"] = {**_PLURAL, "kind": "Thing_", "listKind": "", "categories": ["A"], "shortNames": ["B"]}
    wrong["spec"]["conversion"] = {}
    assert [problem.path for problem in validate_create(wrong)] == [
        "spec.names.listKind",
        "spec.names.kind",
        "spec.names.shortNames[0]",
        "spec.names.categories[0]",
        f"{_ROOT}.properties[x].items",
        f"{_ROOT}.properties[y].type",
        f"{_ROOT}.properties[x].uniqueItems",
        "spec.conversion.strategy",
    ]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (None, "FieldValueRequired"),
        ("yes", "FieldValueInvalid"),
        ("https:///x", "FieldValueInvalid"),
        ("unapproved, for a test", None),
        ("https://github.com/kubernetes/kubernetes/pull/1", None),
    ],
)
def test_protected_groups(said: str | None, kind: str | None) -> None:
    definition = _definition(group="x.k8s.io")
    definition["metadata"] = {"name": "things.x.k8s.io", "annotations": {"api-approved.kubernetes.io": said}}
    if said is None:
        del definition["metadata"]["annotations"]
    assert [problem.type for problem in validate_create(definition)] == ([kind] if kind else [])


def test_a_storage_version_may_leave_the_stored_ones_by_the_status_alone() -> None:
    old = _definition()
    assert validate_status({**old, "status": {"storedVersions": []}}, old) == []
    new = {**old, "status": {"storedVersions": ["v0"]}}
    assert [str(problem) for problem in validate_update(new, old)] == [
        'status.storedVersions: Invalid value: []string{"v0"}: must have the storage version v1',
        'status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, '
        "and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes "
        "v0 from status.storedVersions",
    ]


def test_fields_that_were_preserved_may_go_on_being_so() -> None:
    new, old = _definition(preserveUnknownFields=True), _definition()
    [problem] = validate_create(new)
    assert problem.path == "spec.preserveUnknownFields"
    assert validate_update(new, old) == [problem]
    assert validate_update(new, new) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [(".spec.n", ("spec", "n")), ("['spec']['a.b']", ("spec", "a.b")), (".spec['n']", ("spec", "n"))],
)
def test_field_paths(text: str, names: tuple[str, ...]) -> None:
    assert follow(text, _SCHEMA)[0] == names


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (".", "unexpected end of JSON path"),
        (".spec[", "unexpected end of JSON path"),
        (".spec['n'", "unexpected end of JSON path"),
        (".spec['n'.", "expected ] but got ."),
        (".spec[n]", "expected single quoted string but got n"),
        ("spec", "expected [ or . but got: spec"),
        (".spec.n.m", "does not refer to a valid field"),
    ],
)
def test_bad_field_paths(text: str, wrong: str) -> None:
    with pytest.raises(BadFieldPath) as told:
        follow(text, _SCHEMA)
    assert str(told.value) == wrong
