"""Webhook configurations, admission policies and bindings: what they are refused for, apart from CEL."""

import pytest

from apimachinery.api.validation import (
    validate_create,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

MUTATING = resource("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
ADMISSION = resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
BINDING = resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
_HOOK = {
    "name": "a.b.c",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://host/path"},
}


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (_HOOK, []),
        (
            {**_HOOK, "name": "short"},
            ['name: Invalid value: "short": should be a domain with at least three segments separated by dots'],
        ),
        (
            {"name": "a.b.c"},
            [
                "sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "clientConfig: Required value: exactly one of url or service is required",
                "admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
        (
            {**_HOOK, "clientConfig": {"url": "http://u@h?x#y"}},
            [
                "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
                "https://host[/path]",
                'clientConfig.url: Invalid value: "u": user information is not permitted in the URL',
                'clientConfig.url: Invalid value: "y": fragments are not permitted in the URL',
                'clientConfig.url: Invalid value: "x": query parameters are not permitted in the URL',
            ],
        ),
        (
            {
                **_HOOK,
                "timeoutSeconds": 31,
                "rules": [{"operations": ["GET"], "apiGroups": ["*"], "apiVersions": ["*"]}],
            },
            [
                'rules[0].operations[0]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", '
                '"DELETE", "UPDATE"',
                "rules[0].resources: Required value",
                "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ],
        ),
        (
            {**_HOOK, "admissionReviewVersions": ["v9"]},
            ['admissionReviewVersions: Invalid value: []string{"v9"}: must include at least one of v1, v1beta1'],
        ),
    ],
    ids=str,
)
def test_webhooks(hook, expected):
    found = texts(validate_create(MUTATING, made(MUTATING, webhooks=[hook])))
    assert found == [f"webhooks[0].{text}" for text in expected]


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
        '"RequestEntityTooLarge", "Unauthorized"',
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
