# ruff: noqa: E501
# A table of sentences reads better whole.
"""Webhook configurations: what they are refused for, apart from CEL."""

import pytest

from apimachinery.api.validation import validate_create, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

MUTATING = resource("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
VALIDATING = resource("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
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


_RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def _hook(**fields):
    return {**_HOOK, **fields}


def _ruled(**fields):
    return _hook(rules=[{**_RULE, **fields}])


def _served(**fields):
    return _hook(clientConfig={"service": {"name": "s", "namespace": "n", **fields}})


_SERVICE = "clientConfig.service"


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (_hook(name=""), ["name: Required value"]),
        (_hook(failurePolicy="Wait"), ['failurePolicy: Unsupported value: "Wait": supported values: "Fail", "Ignore"']),
        (
            _hook(matchPolicy="Near"),
            ['matchPolicy: Unsupported value: "Near": supported values: "Equivalent", "Exact"'],
        ),
        (
            _hook(sideEffects="Some"),
            ['sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'],
        ),
        (
            _hook(reinvocationPolicy="Often"),
            ['reinvocationPolicy: Unsupported value: "Often": supported values: "IfNeeded", "Never"'],
        ),
        (
            _hook(namespaceSelector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
            [
                "namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or "
                "'NotIn'"
            ],
        ),
        (
            _hook(clientConfig={"url": "https:///x"}),
            ['clientConfig.url: Invalid value: "": host must be specified; desired format: https://host[/path]'],
        ),
        (
            _hook(clientConfig={"service": {}}),
            [
                f"{_SERVICE}.name: Required value: service name is required",
                f"{_SERVICE}.namespace: Required value: service namespace is required",
            ],
        ),
        (
            _served(port=70000, path="a//b"),
            [
                f"{_SERVICE}.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
                f"{_SERVICE}.path: Invalid value: \"a//b\": must start with a '/'",
                f'{_SERVICE}.path: Invalid value: "a//b": segment[0] may not be empty',
                f'{_SERVICE}.path: Invalid value: "a//b": segment[1] may not be empty',
            ],
        ),
        (_served(path="//"), [f'{_SERVICE}.path: Invalid value: "//": segment[0] may not be empty']),
        (_ruled(operations=[]), ["rules[0].operations: Required value"]),
        (
            _ruled(operations=["*", "CREATE"]),
            [
                'rules[0].operations: Invalid value: []admissionregistration.OperationType{"*", "CREATE"}: if \'*\' is '
                "present, must not specify other operations"
            ],
        ),
        (
            _ruled(apiGroups=[], apiVersions=["*", ""]),
            [
                "rules[0].apiGroups: Required value",
                'rules[0].apiVersions: Invalid value: []string{"*", ""}: if \'*\' is present, must not specify other API '
                "versions",
                "rules[0].apiVersions[1]: Required value",
            ],
        ),
        (
            _ruled(resources=["pods/*", "pods/exec", "*/scale", "jobs/scale", ""]),
            [
                "rules[0].resources[1]: Invalid value: \"pods/exec\": if 'pods/*' is present, must not specify pods/exec",
                "rules[0].resources[3]: Invalid value: \"jobs/scale\": if '*/scale' is present, must not specify jobs/scale",
                "rules[0].resources[4]: Required value",
            ],
        ),
        (
            _ruled(resources=["*", "pods"]),
            [
                'rules[0].resources: Invalid value: []string{"*", "pods"}: if \'*\' is present, must not specify other '
                "resources without subresources"
            ],
        ),
        (
            _ruled(resources=["pods/exec", "*/*"]),
            [
                'rules[0].resources: Invalid value: []string{"pods/exec", "*/*"}: if \'*/*\' is present, must not specify '
                "other resources"
            ],
        ),
        (
            _ruled(scope="Own"),
            ['rules[0].scope: Unsupported value: "Own": supported values: "*", "Cluster", "Namespaced"'],
        ),
        (
            _hook(
                matchConditions=[{"name": "", "expression": " "}, {"name": "a", "expression": "true"}]
                + [{"name": "a", "expression": "true"}] * 63
            ),
            None,
        ),
        (
            _hook(admissionReviewVersions=["v1", "v1", "v 1"]),
            [
                'admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
                'admissionReviewVersions[2]: Invalid value: "v 1": a DNS-1035 label must consist of lower case alphanumeric '
                "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
                "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
    ],
    ids=lambda value: str(value)[100:170],
)
def test_the_details_of_webhooks(hook, expected):
    found = [
        text.removeprefix("webhooks[0].") for text in texts(validate_create(MUTATING, made(MUTATING, webhooks=[hook])))
    ]
    if expected is None:
        assert found[:4] == [
            "matchConditions: Too many: 65: must have at most 64 items",
            "matchConditions[0].expression: Required value",
            "matchConditions[0].name: Required value",
            'matchConditions[2].name: Duplicate value: "a"',
        ]
    else:
        assert found == expected


def test_names_of_webhooks_are_their_own():
    assert texts(validate_create(VALIDATING, made(VALIDATING, webhooks=[_HOOK, _HOOK]))) == [
        'webhooks[1].name: Duplicate value: "a.b.c"'
    ]


def test_webhooks_that_were_wrong_may_stay_so():
    strange = _hook(
        sideEffects="Some", admissionReviewVersions=["v9"], matchConditions=[{"name": "", "expression": ""}]
    )
    old = made(MUTATING, webhooks=[strange, strange])
    assert validate_update(MUTATING, {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}, old) == []
    changed = made(MUTATING, webhooks=[strange, {**strange, "matchConditions": []}])
    assert texts(validate_update(MUTATING, changed, old)) == [
        "webhooks[0].matchConditions[0].expression: Required value",
        "webhooks[0].matchConditions[0].name: Required value",
    ]
