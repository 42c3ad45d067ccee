"""Flow schemas and priority levels: what they are refused for."""

import pytest

from apimachinery.api.validation import (
    validate_create,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

SCHEMA = resource("flowcontrol.apiserver.k8s.io/v1", "FlowSchema")
LEVEL = resource("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration")
_RULE = {
    "subjects": [{"kind": "User", "user": {"name": "u"}}],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}],
}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"priorityLevelConfiguration": {"name": "l"}, "rules": [_RULE]}, []),
        (
            {"matchingPrecedence": 1},
            [
                "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have "
                "matchingPrecedence 1",
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            ],
        ),
        (
            {"priorityLevelConfiguration": {"name": "l"}, "rules": [{}]},
            [
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ],
        ),
        (
            {
                "priorityLevelConfiguration": {"name": "l"},
                "rules": [{**_RULE, "subjects": [{"kind": "Group", "user": {"name": "u"}}]}],
            },
            [
                "spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'",
                "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
            ],
        ),
    ],
    ids=str,
)
def test_flow_schemas(spec, expected):
    assert texts(validate_create(SCHEMA, made(SCHEMA, spec=spec))) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}, []),
        ({"type": "Limited"}, ["spec.limited: Required value: must not be empty when type is Limited"]),
        (
            {"type": "Exempt"},
            ["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
        ),
        (
            {
                "type": "Limited",
                "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 4, "handSize": 8}}},
            },
            ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"],
        ),
        (
            {"type": "Limited", "limited": {"lendablePercent": 101, "limitResponse": {}}},
            [
                "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                'spec.limited.limitResponse.type: Unsupported value: "": supported values: "Queue", "Reject"',
            ],
        ),
    ],
    ids=str,
)
def test_priority_levels(spec, expected):
    assert texts(validate_create(LEVEL, made(LEVEL, spec=spec))) == expected
