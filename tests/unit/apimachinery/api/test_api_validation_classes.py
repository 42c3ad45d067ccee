# ruff: noqa: E501
# A table of sentences reads better whole.
"""Priority classes and runtime classes: what they are refused for."""

import pytest

from apimachinery.api.validation import (
    validate_create,
    validate_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

PRIORITY = resource("scheduling.k8s.io/v1", "PriorityClass")
RUNTIME = resource("node.k8s.io/v1", "RuntimeClass")


def test_priority_classes():
    assert validate_create(PRIORITY, made(PRIORITY, value=1_000_000_000)) == []
    assert validate_create(PRIORITY, made(PRIORITY, "system-node-critical", value=2_000_001_000)) == []
    assert texts(validate_create(PRIORITY, made(PRIORITY, "system-mine", value=1))) == [
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
        "system-mine is not a known system priority class"
    ]
    assert texts(validate_create(PRIORITY, made(PRIORITY, value=1_000_000_001))) == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"
    ]
    changed = made(PRIORITY, value=2, preemptionPolicy="Never")
    assert texts(validate_update(PRIORITY, changed, made(PRIORITY, value=1))) == [
        "value: Forbidden: may not be changed in an update.",
        'preemptionPolicy: Invalid value: "Never": field is immutable',
    ]


def test_runtime_classes():
    assert validate_create(RUNTIME, made(RUNTIME, handler="runc", overhead={"podFixed": {"cpu": "1"}})) == []
    twice = [{"key": "k", "operator": "Exists"}] * 2
    assert texts(validate_create(RUNTIME, made(RUNTIME, handler="runc", scheduling={"tolerations": twice}))) == [
        'scheduling.tolerations[1]: Duplicate value: core.Toleration{Key:"k", Operator:"Exists", Value:"", Effect:"", '
        "TolerationSeconds:(*int64)(nil)}"
    ]
    assert texts(validate_update(RUNTIME, made(RUNTIME, handler="kata"), made(RUNTIME, handler="runc"))) == [
        'handler: Invalid value: "kata": field is immutable'
    ]


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        (
            "system-node-critical",
            {"value": 1},
            ["metadata.name: Forbidden: {reserved}value of system-node-critical PriorityClass must be 2000001000"],
        ),
        (
            "system-cluster-critical",
            {"value": 2_000_000_000, "globalDefault": True},
            [
                "metadata.name: Forbidden: {reserved}globalDefault of system-cluster-critical PriorityClass must be false"
            ],
        ),
        ("a", {"value": 1, "preemptionPolicy": ""}, ["preemptionPolicy: Required value"]),
        (
            "a",
            {"value": 1, "preemptionPolicy": "Always"},
            ['preemptionPolicy: Unsupported value: "Always": supported values: "PreemptLowerPriority", "Never"'],
        ),
    ],
    ids=str,
)
def test_new_priority_classes(name, fields, expected):
    reserved = "priority class names with 'system-' prefix are reserved for system use only. error: "
    found = texts(validate_create(PRIORITY, made(PRIORITY, name, **fields)))
    assert found == [text.format(reserved=reserved) for text in expected]


def test_a_change_of_a_priority_class_is_judged_alone():
    old = made(PRIORITY, "system-node-critical", value=2_000_001_000)
    assert validate_update(PRIORITY, {**old, "globalDefault": True}, old) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"handler": "a_b"},
            [
                'handler: Invalid value: "a_b": a lowercase RFC 1123 label must consist of lower case alphanumeric '
                "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
                "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ],
        ),
        (
            {"handler": "a", "overhead": {"podFixed": {"cpu": "-1"}}},
            ['overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            {"handler": "a", "scheduling": {"tolerations": [{"operator": "Equal"}]}},
            [
                'scheduling.tolerations.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when '
                '`key` is empty, which means "match all values and all keys"'
            ],
        ),
        (
            {"handler": "a", "scheduling": {"nodeSelector": {"a": "b c"}}},
            [
                'scheduling.nodeSelector: Invalid value: "b c": a valid label must be an empty string or consist of '
                "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
                "'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ],
        ),
    ],
    ids=str,
)
def test_new_runtime_classes(fields, expected):
    assert texts(validate_create(RUNTIME, made(RUNTIME, **fields))) == expected
