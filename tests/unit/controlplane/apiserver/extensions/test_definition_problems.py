# A table of sentences reads better whole.
"""What definitions are refused for beside their schemas: upstream's fields, words and order."""

import pytest

from controlplane.apiserver.extensions.validation import validate_create
from tests.unit.controlplane.apiserver.extensions.definitions_for_validation import (
    PLURAL,
    Object,
    changed,
    defined,
    texts,
    version,
)


def test_a_good_one() -> None:
    good = version(
        subresources={"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
        additionalPrinterColumns=[{"name": "N", "type": "integer", "format": "int32", "jsonPath": ".spec.n"}],
        selectableFields=[{"jsonPath": ".spec.n"}],
    )
    assert texts(defined(good, {**good, "name": "v2", "storage": False})) == []


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
    wrong = defined(version(storage=False))
    wrong["status"] = {"storedVersions": []}
    assert texts(wrong) == [
        f"spec.versions: Invalid value: {_go(_VERSION.format('v1', 'false'))}: "
        "must have exactly one version marked as storage version",
        "status.storedVersions: Invalid value: []string(nil): must have at least one stored version",
    ]


def test_versions_of_one_name() -> None:
    shown = _go(_VERSION.format("v1", "true"), _VERSION.format("v1", "true"))
    assert texts(defined(version(), version())) == [
        f"spec.versions: Invalid value: {shown}: must contain unique version names",
        f"spec.versions: Invalid value: {shown}: must have exactly one version marked as storage version",
    ]


def test_what_versions_do_not_share_is_told_of_each() -> None:
    other = version("v2", additionalPrinterColumns=[{"name": "N", "type": "text", "jsonPath": "spec"}])
    assert texts(defined(version(), other)) == [
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
    found = texts(defined(version(additionalPrinterColumns=[column])))
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
    found = texts(defined(version(selectableFields=[{"jsonPath": path} for path in paths])))
    assert found == [f"spec.selectableFields{text}" for text in expected]


def test_at_most_eight_selectable_fields() -> None:
    properties = {f"f{number}": {"type": "string"} for number in range(9)}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    wrong = version(schema=schema, selectableFields=[{"jsonPath": f".{name}"} for name in properties])
    assert texts(defined(wrong)) == ["spec.selectableFields: Too many: 9: must have at most 8 items"]


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
    found = validate_create(defined(version(deprecated=deprecated, deprecationWarning=warning)))
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
    found = texts(defined(conversion=conversion))
    assert len(found) == len(expected), found
    assert all(text.startswith(f"spec.conversion.{start}") for text, start in zip(found, expected, strict=True)), found


_ROOT = "spec.validation.openAPIV3Schema"


def test_structure_is_told_before_the_rest_and_names_before_both() -> None:
    def spoil(schema: Object) -> None:
        schema["properties"].update(y={}, x={"type": "array", "uniqueItems": True})

    wrong = changed(spoil)
    wrong["spec"]["names"] = {**PLURAL, "kind": "Thing_", "listKind": "", "categories": ["A"], "shortNames": ["B"]}
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


def test_a_default_is_judged_under_no_name() -> None:
    inner = {"type": "object", "properties": {"z": {"type": "integer"}}, "default": {"z": "a"}}
    wrong = changed(lambda schema: schema["properties"].update(x={"type": "integer", "default": "a"}, y=inner))
    assert texts(wrong) == [
        f'{_ROOT}.properties[x].default: Invalid value: "string":  in body must be of type integer: "string"',
        f'{_ROOT}.properties[y].default.z: Invalid value: "string": z in body must be of type integer: "string"',
    ]


@pytest.mark.parametrize(("versions", "shown"), [(None, "(nil)"), ([], "{}")])
def test_no_version(versions: list[Object] | None, shown: str) -> None:
    none = defined()
    none["spec"]["versions"] = versions
    kind = "[]apiextensions.CustomResourceDefinitionVersion"
    sentence = "must have exactly one version marked as storage version"
    assert f"spec.versions: Invalid value: {kind}{shown}: {sentence}" in texts(none)


def test_a_version_without_a_name_is_stored_without_one() -> None:
    nameless = defined(version(""))
    nameless["spec"]["versions"][0]["storage"] = True
    nameless["status"]["storedVersions"] = [""]
    assert {text.partition(":")[0] for text in texts(nameless)} == {"spec.versions[0].name"}
