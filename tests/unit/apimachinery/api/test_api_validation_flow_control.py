# ruff: noqa: E501
# A table of sentences reads better whole.
"""Flow schemas and priority levels: what they are refused for."""

import pytest

from apimachinery.api.validation import validate_create, validate_status_update
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
                'spec.limited.limitResponse.type: Unsupported value: "": supported values: "Queue", "Reject"',
                "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            ],
        ),
    ],
    ids=str,
)
def test_priority_levels(spec, expected):
    assert texts(validate_create(LEVEL, made(LEVEL, spec=spec))) == expected


def _flow(rule):
    return {"priorityLevelConfiguration": {"name": "l"}, "rules": [{"subjects": _RULE["subjects"], **rule}]}


def _resources(**fields):
    return _flow(
        {"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, **fields}]}
    )


def _urls(*urls):
    return _flow({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": list(urls)}]})


def _subjects(*subjects):
    return {"priorityLevelConfiguration": {"name": "l"}, "rules": [{**_RULE, "subjects": list(subjects)}]}


_RESOURCES, _PATHS = "spec.rules[0].resourceRules[0]", "spec.rules[0].nonResourceRules[0].nonResourceURLs"
_VERBS = '"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"'
_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": -1},
            ["spec.matchingPrecedence: Invalid value: -1: must be a positive value"],
        ),
        (
            {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 10001},
            ["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
        ),
        (
            {"priorityLevelConfiguration": {"name": "l"}, "distinguisherMethod": {"type": "ByChance"}},
            [
                'spec.distinguisherMethod.type: Unsupported value: flowcontrol.FlowDistinguisherMethod{Type:"ByChance"}: '
                'supported values: "ByNamespace", "ByUser"'
            ],
        ),
        (
            _subjects({"kind": "Node"}),
            [
                'spec.rules[0].subjects[0].kind: Unsupported value: "Node": supported values: "Group", "ServiceAccount", "User"'
            ],
        ),
        (
            _subjects({"kind": "ServiceAccount", "serviceAccount": {}, "group": {"name": "g"}}),
            [
                "spec.rules[0].subjects[0].serviceAccount.name: Required value",
                "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for service "
                "account",
                "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            ],
        ),
        (_subjects({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "n"}}), []),
        (_resources(verbs=[]), [f"{_RESOURCES}.verbs: Required value: verbs must contain at least one value"]),
        (
            _resources(verbs=["get", "*"]),
            [
                f'{_RESOURCES}.verbs: Invalid value: []string{{"get", "*"}}: if \'*\' is present, must not specify other verbs'
            ],
        ),
        (
            _resources(verbs=["bind"]),
            [f'{_RESOURCES}.verbs: Unsupported value: []string{{"bind"}}: supported values: {_VERBS}'],
        ),
        (
            _resources(apiGroups=[], resources=["a", "*"]),
            [
                f"{_RESOURCES}.apiGroups: Required value: resource rules must supply at least one api group",
                f'{_RESOURCES}.resources: Invalid value: []string{{"a", "*"}}: if \'*\' is present, must not specify other '
                "resources",
            ],
        ),
        (
            _resources(clusterScope=False),
            [
                f"{_RESOURCES}.namespaces: Required value: resource rules that are not cluster scoped must supply at least "
                "one namespace"
            ],
        ),
        (
            _resources(namespaces=["n", "*"]),
            [
                f'{_RESOURCES}.namespaces: Invalid value: []string{{"n", "*"}}: if \'*\' is present, must not specify '
                "other namespaces"
            ],
        ),
        (
            _resources(namespaces=["-n"]),
            [
                f"{_RESOURCES}.namespaces[0]: Invalid value: \"-n\": each member of this list must be '*' or a DNS-1123 "
                f"label; {_LABEL}"
            ],
        ),
        (_urls("/", "/a/*", "*"), None),
        (_urls("/", "/a/*"), []),
        (
            _urls("", "a", "/a b", "/a//b", "/a*", "/*/*"),
            [
                f'{_PATHS}[0]: Invalid value: "": must not be empty',
                f'{_PATHS}[1]: Invalid value: "a": must start with slash',
                f'{_PATHS}[2]: Invalid value: "/a b": must not contain white-space',
                f'{_PATHS}[3]: Invalid value: "/a//b": must not contain double slash',
                f'{_PATHS}[4]: Invalid value: "/a*": wildcard can only do suffix matching',
                f'{_PATHS}[5]: Invalid value: "/*/*": wildcard can only do suffix matching',
            ],
        ),
        (_urls(), [f"{_PATHS}: Required value: nonResourceURLs must contain at least one value"]),
    ],
    ids=lambda value: str(value)[:70],
)
def test_the_details_of_flow_schemas(spec, expected):
    alone = f'{_PATHS}: Invalid value: []string{{"/", "/a/*", "*"}}: if \'*\' is present, must not specify other non-resource URLs'
    assert texts(validate_create(SCHEMA, made(SCHEMA, spec=spec))) == ([alone] if expected is None else expected)


def test_what_the_server_makes_itself_stays():
    [text] = texts(validate_create(SCHEMA, made(SCHEMA, "catch-all", spec=_subjects(*_RULE["subjects"]))))
    assert text.startswith("spec: Invalid value: ") and text.endswith(
        ": spec of 'catch-all' must equal the fixed value"
    )
    [text] = texts(validate_create(LEVEL, made(LEVEL, "catch-all", spec=_limited())))
    assert text.startswith("spec: Invalid value: ") and text.endswith(
        ": spec of 'catch-all' must equal the fixed value"
    )
    found = texts(validate_create(LEVEL, made(LEVEL, "exempt", spec={**_limited(), "exempt": {}})))
    assert found[:2] == [
        "spec.type: Invalid value: \"Limited\": type must be 'Exempt' if and only if name is 'exempt'",
        "spec.exempt: Forbidden: must be nil if the type is Limited",
    ]
    assert len(found) == 3
    assert found[2].endswith(": spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")
    lent = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7, "lendablePercent": 10}}
    assert validate_create(LEVEL, made(LEVEL, "exempt", spec=lent)) == []


def _limited(**fields):
    return {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}, **fields}}


def _queued(**fields):
    return _limited(limitResponse={"type": "Queue", "queuing": fields})


_HAND = "spec.limited.limitResponse.queuing.handSize"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (_limited(nominalConcurrencyShares=0), []),
        (
            _limited(nominalConcurrencyShares=-1, lendablePercent=-1, borrowingLimitPercent=-1),
            [
                "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                "spec.limited.lendablePercent: Invalid value: -1: must be between 0 and 100, inclusive",
                "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
            ],
        ),
        (
            _limited(limitResponse={"type": "Reject", "queuing": {}}),
            ["spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited"],
        ),
        (
            _limited(limitResponse={"type": "Queue"}),
            [
                "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is "
                "Limited"
            ],
        ),
        (
            _queued(queues=512, handSize=8),
            [
                f"{_HAND}: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60"
            ],
        ),
        (_queued(queues=10_000_000, handSize=2), []),
        (
            _queued(queues=2147483647, handSize=3),
            [
                "spec.limited.limitResponse.queuing.queues: Invalid value: 2147483647: must not be greater than 10000000",
                f"{_HAND}: Invalid value: 3: required entropy bits of deckSize 2147483647 and handSize 3 should not be "
                "greater than 60",
            ],
        ),
        (
            _queued(queues=-1, handSize=-1, queueLengthLimit=-1),
            [
                "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
                "spec.limited.limitResponse.queuing.queues: Invalid value: -1: must be positive",
                f"{_HAND}: Invalid value: -1: must be positive",
            ],
        ),
        ({"type": "Loose"}, ['spec.type: Unsupported value: "Loose": supported values: "Exempt", "Limited"']),
    ],
    ids=str,
)
def test_the_details_of_priority_levels(spec, expected):
    assert texts(validate_create(LEVEL, made(LEVEL, spec=spec))) == expected


def test_the_mark_of_the_last_beta():
    key = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
    marked = made(LEVEL, metadata={"annotations": {key: ""}}, spec=_limited())
    assert texts(validate_create(LEVEL, marked)) == [
        f"metadata.annotations: Forbidden: annotation '{key}' is forbidden"
    ]


@pytest.mark.parametrize("kind", [SCHEMA, LEVEL], ids=lambda kind: kind.kind)
def test_the_status_of_flow_control(kind):
    old = made(kind)
    new = {**old, "status": {"conditions": [{"type": "a"}, {"type": "a"}, {"type": ""}]}}
    assert texts(validate_status_update(kind, new, old)) == [
        'status.conditions[1].type: Duplicate value: "a"',
        "status.conditions[2].type: Required value: must not be empty",
    ]
