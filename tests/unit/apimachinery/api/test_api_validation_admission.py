# ruff: noqa: E501
# A table of sentences reads better whole.
"""Admission policies and their bindings: what they are refused for, apart from CEL."""

import pytest

from apimachinery.api.validation import validate_create, validate_status_update, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

ADMISSION = resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
BINDING = resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
_MATCH = {
    "resourceRules": [
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
    ]
}


def test_admission_policies():
    good = {"matchConstraints": _MATCH, "validations": [{"expression": "true"}]}
    assert validate_create(ADMISSION, made(ADMISSION, spec=good)) == []
    text = "Required value: validations or auditAnnotations must contain at least one item"
    assert texts(validate_create(ADMISSION, made(ADMISSION, spec={"paramKind": {"apiVersion": "a/b/c"}}))) == [
        'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        "spec.paramKind.kind: Required value",
        "spec.matchConstraints: Required value",
        f"spec.validations: {text}",
        f"spec.auditAnnotations: {text}",
    ]
    wordy = {**good, "validations": [{"expression": " ", "message": "a\nb", "reason": "No"}]}
    assert texts(validate_create(ADMISSION, made(ADMISSION, spec=wordy))) == [
        "spec.validations[0].expression: Required value: expression is not specified",
        'spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
        'spec.validations[0].reason: Unsupported value: "No": supported values: "Forbidden", "Invalid", '
        '"RequestEntityTooLarge"',
    ]


def test_admission_policy_bindings():
    good = {"policyName": "p", "validationActions": ["Deny"]}
    assert validate_create(BINDING, made(BINDING, spec=good)) == []
    bad = {"paramRef": {"parameterNotFoundAction": "Wait"}, "validationActions": ["Audit", "Audit"]}
    assert texts(validate_create(BINDING, made(BINDING, spec=bad))) == [
        "spec.policyName: Required value",
        "spec.paramRef: Required value: one of name or selector must be specified",
        'spec.paramRef.parameterNotFoundAction: Unsupported value: "Wait": supported values: "Deny", "Allow"',
        'spec.validationActions[1]: Duplicate value: "Audit"',
    ]


_GOOD = {"matchConstraints": _MATCH, "validations": [{"expression": "true"}]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {**_GOOD, "failurePolicy": "Wait"},
            ['spec.failurePolicy: Unsupported value: "Wait": supported values: "Fail", "Ignore"'],
        ),
        ({**_GOOD, "paramKind": {"apiVersion": "/", "kind": "1"}}, None),
        ({**_GOOD, "matchConstraints": {}}, ["spec.matchConstraints.resourceRules: Required value"]),
        (
            {
                **_GOOD,
                "matchConstraints": {
                    "resourceRules": [{**_MATCH["resourceRules"][0], "resourceNames": ["a", "a", "b/c"]}]
                },
            },
            [
                'spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
                "spec.matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: \"b/c\": may not contain '/'",
            ],
        ),
        (
            {**_GOOD, "variables": [{"name": "in", "expression": "1"}, {"name": " ", "expression": " "}]},
            [
                'spec.variables[0].name: Invalid value: "in": name is not a valid CEL identifier',
                "spec.variables[1].name: Required value: name is not specified",
                "spec.variables[1].expression: Required value: expression is not specified",
            ],
        ),
        (
            {**_GOOD, "validations": [{"expression": "true", "message": " ", "messageExpression": " "}]},
            [
                'spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
                'spec.validations[0].message: Invalid value: " ": message must be non-empty if specified',
            ],
        ),
        (
            {
                **_GOOD,
                "auditAnnotations": [{"key": "k", "valueExpression": " "}, {"key": "k", "valueExpression": "'" * 5121}],
            },
            [
                "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified",
                "spec.auditAnnotations[1].valueExpression: Required value: must not exceed 5120 bytes in length",
                'spec.auditAnnotations[1].key: Duplicate value: "k"',
            ],
        ),
    ],
    ids=lambda value: str(value)[:80],
)
def test_the_details_of_admission_policies(spec, expected):
    found = texts(validate_create(ADMISSION, made(ADMISSION, spec=spec)))
    if expected is None:
        assert found[0] == 'spec.paramKind.apiVersion: Invalid value: "/": version must be specified'
        assert found[1].startswith(
            'spec.paramKind.kind: Invalid value: "1": may have mixed case, but should otherwise match: a DNS-1035'
        )
    else:
        assert found == expected


def test_conditions_of_a_policy_are_judged_when_they_change():
    spec = {**_GOOD, "matchConditions": [{"name": "", "expression": "true"}]}
    old = made(ADMISSION, spec=spec)
    assert validate_update(ADMISSION, made(ADMISSION, spec={**spec, "failurePolicy": "Ignore"}), old) == []
    other = made(ADMISSION, spec={**spec, "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}})
    assert texts(validate_update(ADMISSION, other, old)) == ["spec.matchConditions[0].name: Required value"]


def test_what_type_checking_found():
    old = made(ADMISSION, spec=_GOOD)
    found = {"typeChecking": {"expressionWarnings": [{"fieldRef": " "}, {"fieldRef": "spec", "warning": "w"}]}}
    assert texts(validate_status_update(ADMISSION, {**old, "status": found}, old)) == [
        "status.typeChecking.expressionWarnings[0].warning: Required value",
        "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"paramRef": {"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"}},
            [
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
            ],
        ),
        ({"paramRef": {"name": "a"}}, ["spec.paramRef.parameterNotFoundAction: Required value"]),
        (
            {"matchResources": {"matchPolicy": "Near"}},
            ['spec.matchResources.matchPolicy: Unsupported value: "Near": supported values: "Equivalent", "Exact"'],
        ),
        (
            {"validationActions": []},
            ["spec.validationActions: Required value: at least one validation action is required"],
        ),
        (
            {"validationActions": ["Deny", "Warn", "Shout"]},
            [
                'spec.validationActions[2]: Unsupported value: "Shout": supported values: "Audit", "Deny", "Warn"',
                'spec.validationActions: Invalid value: []admissionregistration.ValidationAction{"Deny", "Warn", "Shout"}: must '
                "not contain both Deny and Warn (repeating the same validation failure information in the API response and "
                "headers serves no purpose)",
            ],
        ),
    ],
    ids=str,
)
def test_the_details_of_bindings(fields, expected):
    spec = {"policyName": "p", "validationActions": ["Deny"], **fields}
    assert texts(validate_create(BINDING, made(BINDING, spec=spec))) == expected
