"""Semantic validation of Jobs: generated selectors, indexed Jobs and the policies of failure and success."""

from copy import deepcopy

import pytest

from apimachinery.api import defaults
from apimachinery.api.catalogue import JOBS
from apimachinery.api.validation import validate_create, validate_status_update, validate_update

_LABELS = {
    "controller-uid": "u",
    "job-name": "a",
    "batch.kubernetes.io/controller-uid": "u",
    "batch.kubernetes.io/job-name": "a",
}
_SELECTOR = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
_POD = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}


def _job(_labels=None, **spec):
    template = {"metadata": {"labels": _labels or _LABELS}, "spec": _POD}
    whole = {"template": template, "selector": _SELECTOR, **spec}
    metadata = {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "1"}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": deepcopy(whole)}
    defaults.apply(JOBS, job)
    return job


def _texts(problems):
    return [str(problem) for problem in problems]


_INDEXED = {"completionMode": "Indexed", "completions": 5, "parallelism": 2}


def test_policies_stay_and_are_shown_as_go_prints_them():
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    old = _job(**_INDEXED, podFailurePolicy={"rules": rules[:]}, successPolicy={"rules": [{"succeededCount": 1}]})
    new = _job(**_INDEXED, podFailurePolicy={"rules": [{**rules[0], "action": "FailJob"}]})
    assert _texts(validate_update(JOBS, new, old)) == [
        "spec.podFailurePolicy: Invalid value: batch.PodFailurePolicy{Rules:[]batch.PodFailurePolicyRule{"
        'batch.PodFailurePolicyRule{Action:"FailJob", OnExitCodes:'
        "(*batch.PodFailurePolicyOnExitCodesRequirement)(nil), "
        "OnPodConditions:[]batch.PodFailurePolicyOnPodConditionsPattern{"
        'batch.PodFailurePolicyOnPodConditionsPattern{Type:"DisruptionTarget", Status:"True"}}}}}: field is immutable',
        'spec.successPolicy: Invalid value: "null": field is immutable',
    ]


def _rule(**fields):
    return {"podFailurePolicy": {"rules": [{"action": "Ignore", **fields}]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (_INDEXED, []),
        (
            {"backoffLimitPerIndex": 1},
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            {**_INDEXED, "maxFailedIndexes": 6},
            [
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions",
            ],
        ),
        (
            {"completionMode": "Indexed", "parallelism": 1},
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            {"completionMode": "Any"},
            ['spec.completionMode: Unsupported value: "Any": supported values: "NonIndexed", "Indexed"'],
        ),
        (
            {"managedBy": "nobody"},
            ['spec.managedBy: Invalid value: "nobody": must be a domain-prefixed path (such as "acme.io/foo")'],
        ),
        (
            {"podReplacementPolicy": "Never"},
            [
                'spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", '
                '"TerminatingOrFailed"',
            ],
        ),
        (_rule(onPodConditions=[{"type": "DisruptionTarget"}]), []),
        (
            _rule(),
            [
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is "
                "required"
            ],
        ),
        (
            _rule(onExitCodes={"operator": "In", "values": [3, 0], "containerName": "x"}),
            [
                'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "x": must be one of the '
                "container or initContainer names in the pod template",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In "
                "operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []int32{3, 0}: must be ordered",
            ],
        ),
        (
            _rule(action="", onExitCodes={"values": [1]}),
            [
                "spec.podFailurePolicy.rules[0].action: Required value: valid values: "
                '["Count" "FailIndex" "FailJob" "Ignore"]',
                'spec.podFailurePolicy.rules[0].onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
            ],
        ),
        (
            {**_INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0,2-4", "succeededCount": 4}]}},
            [],
        ),
        (
            {**_INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0,2-4", "succeededCount": 5}]}},
            [
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 5: must be less than or equal to 4 (the "
                "number of indexes in the specified succeededIndexes field)"
            ],
        ),
        (
            {"completionMode": "Ordered", "successPolicy": {"rules": [{"succeededCount": 1}]}},
            [
                'spec.completionMode: Unsupported value: "Ordered": supported values: "NonIndexed", "Indexed"',
                "spec.successPolicy: Invalid value: batch.SuccessPolicy{Rules:[]batch.SuccessPolicyRule{"
                "batch.SuccessPolicyRule{SucceededIndexes:(*string)(nil), SucceededCount:(*int32)(0xc000000000)}}}: "
                "requires indexed completion mode",
            ],
        ),
        (
            {**_INDEXED, **_rule(), "successPolicy": {}},
            [
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is "
                "required",
                "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy "
                "is specified",
            ],
        ),
        (
            {"manualSelector": True, "selector": None},
            [
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: map[string]string{"
                '"batch.kubernetes.io/controller-uid":"u", "batch.kubernetes.io/job-name":"a", '
                '"controller-uid":"u", "job-name":"a"}: `selector` does not match '
                "template `labels`",
            ],
        ),
        (
            {**_INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "3-1"}, {}]}},
            [
                'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "3-1": error parsing succeededIndexes: '
                "non-increasing order, previous: 3, current: 1",
                "spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must "
                "be specified",
            ],
        ),
    ],
    ids=str,
)
def test_a_new_job(spec, expected):
    assert _texts(validate_create(JOBS, _job(**spec))) == expected


def test_labels_that_are_not_the_generated_ones():
    labels = {**_LABELS, "job-name": "other"}
    shown = (
        'map[string]string{"batch.kubernetes.io/controller-uid":"u", "batch.kubernetes.io/job-name":"a", '
        '"controller-uid":"u", "job-name":"other"}'
    )
    assert _texts(validate_create(JOBS, _job(labels))) == [
        f"spec.template.metadata.labels[job-name]: Invalid value: {shown}: must be 'a'"
    ]


def test_what_a_job_never_changes():
    old = _job(**_INDEXED, backoffLimitPerIndex=1)
    assert validate_update(JOBS, _job(**{**_INDEXED, "completions": 2}, backoffLimitPerIndex=1), old) == []
    changed = _job(**{**_INDEXED, "completions": 3}, backoffLimitPerIndex=2)
    assert _texts(validate_update(JOBS, changed, old)) == [
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
        "spec.backoffLimitPerIndex: Invalid value: 2: field is immutable",
    ]
    assert _texts(validate_update(JOBS, _job(completions=2), _job(completions=1))) == [
        "spec.completions: Invalid value: 2: field is immutable"
    ]


def test_a_jobs_status():
    old = _job()
    new = {**old, "status": {"active": -1, "uncountedTerminatedPods": {"succeeded": ["x"], "failed": ["x", ""]}}}
    assert _texts(validate_status_update(JOBS, new, old)) == [
        "status.active: Invalid value: -1: must be greater than or equal to 0",
        'status.uncountedTerminatedPods.failed[0]: Duplicate value: "x"',
        'status.uncountedTerminatedPods.failed[1]: Invalid value: "": must not be empty',
    ]


_ENDED = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z", "succeeded": 1}
_BEGUN = {"startTime": "2026-01-01T00:00:00Z"}


def _conditions(*kinds):
    return {"conditions": [{"type": kind, "status": "True"} for kind in kinds]}


_COMPLETE = _conditions("SuccessCriteriaMet", "Complete")


@pytest.mark.parametrize(
    ("spec", "before", "after", "expected"),
    [
        ({}, _BEGUN, {**_ENDED, **_COMPLETE}, []),
        ({}, _BEGUN, {**_BEGUN, **_conditions("FailureTarget", "Failed"), "failed": 1}, []),
        (
            {},
            _BEGUN,
            {**_ENDED, **_conditions("Complete", "Failed")},
            [
                "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
                "status.conditions: Invalid value: "
                "cannot set Failed=True condition without the FailureTarget=true condition",
                "status.conditions: Invalid value: "
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ],
        ),
        (
            {},
            {},
            {**_COMPLETE, "active": 1, "terminating": 2, "uncountedTerminatedPods": {"failed": ["x"]}},
            [
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
                "status.terminating: Invalid value: 2: terminating>0 is invalid for finished job",
                "status.startTime: Required value: startTime is required for finished job",
                'status.uncountedTerminatedPods: Invalid value: {"failed":["x"]}: '
                "uncountedTerminatedPods needs to be empty for finished job",
            ],
        ),
        (
            {},
            _BEGUN,
            {"completionTime": "2025-12-31T00:00:00Z", **_BEGUN},
            [
                'status.completionTime: Invalid value: "2025-12-31T00:00:00Z": '
                "cannot set completionTime when there is no Complete=True condition",
                'status.completionTime: Invalid value: "2025-12-31T00:00:00Z": '
                "completionTime cannot be set before startTime",
            ],
        ),
        (
            {},
            {**_ENDED, **_COMPLETE},
            {**_ENDED, "completionTime": "2026-01-01T00:02:00Z", "succeeded": 0},
            [
                'status.completionTime: Invalid value: "2026-01-01T00:02:00Z": '
                "cannot set completionTime when there is no Complete=True condition",
                "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
                "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
                'status.completionTime: Invalid value: "2026-01-01T00:02:00Z": completionTime cannot be mutated',
                "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
            ],
        ),
        (
            {},
            {**_BEGUN, "failed": 2},
            {"failed": 1, "ready": 2, "active": 1, "completedIndexes": "0", "failedIndexes": "1"},
            [
                'status.completedIndexes: Invalid value: "0": '
                "cannot set non-empty completedIndexes when non-indexed completion mode",
                'status.failedIndexes: Invalid value: "1": '
                "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
                "status.ready: Invalid value: 2: cannot set more ready pods than active",
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.startTime: Required value: startTime cannot be removed for unsuspended job",
            ],
        ),
        (
            {**_INDEXED, "completions": 5, "parallelism": 1, "backoffLimitPerIndex": 1},
            {},
            {"completedIndexes": "0,2-4", "failedIndexes": "1,3-4"},
            ['status.failedIndexes: Invalid value: "1,3-4": failedIndexes and completedIndexes overlap at index: 3'],
        ),
        (
            {**_INDEXED, "completions": 5, "parallelism": 1, "backoffLimitPerIndex": 1},
            {"completedIndexes": "9"},
            {"completedIndexes": "9", "failedIndexes": "5"},
            ['status.failedIndexes: Invalid value: "5": error parsing failedIndexes: too large index: "5"'],
        ),
    ],
)
def test_what_a_controller_may_say_of_a_job(spec, before, after, expected):
    old = _job(**spec)
    texts = _texts(validate_status_update(JOBS, {**old, "status": after}, {**old, "status": before}))
    assert texts == expected


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TERMS = [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
_NODES = {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": _TERMS}}}
_NEIGHBOURS = {"podAffinity": {_REQUIRED: [{"topologyKey": "zone", "labelSelector": {}}]}}


@pytest.mark.parametrize(
    ("suspended", "metadata", "spec", "allowed"),
    [
        (True, {"annotations": {"a": "b"}}, {"nodeSelector": {"a": "b"}, "tolerations": []}, True),
        (True, {}, {"affinity": _NODES}, True),
        (True, {}, {"affinity": {**_NODES, **_NEIGHBOURS}}, False),
        (True, {"finalizers": ["example.com/f"]}, {}, False),
        (False, {}, {"nodeSelector": {"a": "b"}}, False),
    ],
    ids=["placement", "nodes", "pods", "finalizers", "running"],
)
def test_a_suspended_job_may_go_elsewhere(suspended, metadata, spec, allowed):
    old = _job(suspend=suspended)
    new = deepcopy(old)
    new["spec"]["template"]["metadata"].update(metadata)
    new["spec"]["template"]["spec"].update(spec)
    found = _texts(validate_update(JOBS, new, old))
    assert [text.partition(":")[0] for text in found] == ([] if allowed else ["spec.template"])
