# ruff: noqa: E501
# A table of sentences reads better whole.
"""Controllers of pods and their revisions: what they are refused for."""

import pytest

from apimachinery.api.validation import (
    validate_create,
    validate_status_update,
    validate_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

REVISION = resource("apps/v1", "ControllerRevision")


def test_controller_revisions():
    old = made(REVISION, data={"a": 1}, revision=1)
    assert validate_create(REVISION, old) == []
    assert texts(validate_create(REVISION, made(REVISION, revision=-1))) == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ]
    assert texts(validate_update(REVISION, made(REVISION, data={"a": 2}), old)) == [
        'data: Invalid value: {"a":2}: field is immutable'
    ]


STATEFUL = resource("apps/v1", "StatefulSet")
DAEMON = resource("apps/v1", "DaemonSet")
CONTROLLER = resource("v1", "ReplicationController")
_RUNNING = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}


def test_stateful_sets():
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE, "serviceName": "s"}
    assert validate_create(STATEFUL, made(STATEFUL, spec=spec)) == [], "their pods are refused when they are made"
    assert "must not contain dots" in texts(validate_create(STATEFUL, made(STATEFUL, "a.b", spec=spec)))[0]
    rolling = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}}
    assert texts(validate_create(STATEFUL, made(STATEFUL, spec={**spec, **rolling}))) == [
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, "
        'StrVal:""}: cannot be 0'
    ]
    status = {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2}
    old = made(STATEFUL, spec=spec, status={"collisionCount": 2})
    assert texts(validate_status_update(STATEFUL, {**old, "status": status}, old)) == [
        "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
        "status.collisionCount: Invalid value: 0: cannot be decremented",
    ]


def test_daemon_sets():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    without = made(DAEMON, spec={"template": template})
    assert texts(validate_create(DAEMON, without)) == [
        'spec.template.metadata.labels: Invalid value: map[string]string{"a":"b"}: `selector` does not match template '
        "`labels`"
    ]
    selected = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    strange = made(DAEMON, spec={**selected, "updateStrategy": {"type": "Slow"}})
    assert texts(validate_create(DAEMON, strange)) == [
        'spec.updateStrategy: Unsupported value: apps.DaemonSetUpdateStrategy{Type:"Slow", '
        'RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}: supported values: "RollingUpdate", "OnDelete"'
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"template": _RUNNING}, []),
        (
            {"template": _RUNNING, "minReadySeconds": -1, "replicas": -1},
            [
                "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        ({}, ["spec.selector: Required value", "spec.template: Required value"]),
        (
            {"selector": {"a": "c"}, "template": _RUNNING},
            [
                'spec.template.metadata.labels: Invalid value: map[string]string{"a":"b"}: `selector` does not match template '
                "`labels`"
            ],
        ),
        (
            {
                "template": {
                    **_RUNNING,
                    "spec": {**_RUNNING["spec"], "restartPolicy": "Never", "activeDeadlineSeconds": 5},
                }
            },
            [
                'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not "
                "Supported",
            ],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_replication_controllers(spec, expected):
    assert texts(validate_create(CONTROLLER, made(CONTROLLER, spec=spec))) == expected


def test_the_counts_of_a_replication_controller():
    old = made(CONTROLLER, spec={"template": _RUNNING})
    wrong = {
        "observedGeneration": -1,
        "availableReplicas": 3,
        "readyReplicas": 2,
        "fullyLabeledReplicas": 2,
        "replicas": 1,
    }
    assert texts(validate_status_update(CONTROLLER, {**old, "status": wrong}, old)) == [
        "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
        "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ]
    below = {"readyReplicas": -2, "replicas": -1}
    assert texts(validate_status_update(CONTROLLER, {**old, "status": below}, old))[:2] == [
        "status.replicas: Invalid value: -1: must be greater than or equal to 0",
        "status.readyReplicas: Invalid value: -2: must be greater than or equal to 0",
    ]


_BAD_LABEL = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NOT_IN_LABELS = 'spec.selector.matchLabels: Invalid value: "b!": ' + _BAD_LABEL
_NOT_IN_TEMPLATE = 'spec.template.labels: Invalid value: "b!": ' + _BAD_LABEL
_UNREADABLE = (
    'v1.LabelSelector{MatchLabels:map[string]string{"a":"b!"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}'
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Deployment", [_NOT_IN_LABELS, f"spec.selector: Invalid value: {_UNREADABLE}: invalid label selector"]),
        ("ReplicaSet", [_NOT_IN_LABELS, f"spec.selector: Invalid value: {_UNREADABLE}: invalid label selector"]),
        ("StatefulSet", [_NOT_IN_LABELS, f"spec.selector: Invalid value: {_UNREADABLE}"]),
        ("DaemonSet", [_NOT_IN_LABELS, _NOT_IN_TEMPLATE]),
    ],
)
def test_a_template_is_not_looked_at_beside_a_selector_that_cannot_be_read(kind, expected):
    workload = resource("apps/v1", kind)
    template = {**_RUNNING, "metadata": {"labels": {"a": "b!"}}}
    spec = {"selector": {"matchLabels": {"a": "b!"}}, "template": template}
    assert texts(validate_create(workload, made(workload, spec=spec))) == expected


@pytest.mark.parametrize(
    ("annotations", "security", "expected"),
    [
        (
            {"container.apparmor.security.beta.kubernetes.io/other": "localhost/p"},
            {},
            [
                'spec.template.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "other": '
                "container not found"
            ],
        ),
        (
            {"container.apparmor.security.beta.kubernetes.io/c": "strict"},
            {},
            [
                'spec.template.annotations[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: "strict": '
                'invalid AppArmor profile name: "strict"'
            ],
        ),
        (
            {"controller.kubernetes.io/pod-deletion-cost": "1.5"},
            {},
            [
                'spec.template.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "1.5": must be a '
                "32bit integer"
            ],
        ),
        (
            {"seccomp.security.alpha.kubernetes.io/pod": "strict"},
            {},
            [
                'spec.template.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "strict": must be a '
                "valid seccomp profile"
            ],
        ),
        (
            {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"},
            {"seccompProfile": {"type": "RuntimeDefault"}},
            [
                "spec.template.spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field "
                "must match"
            ],
        ),
        (
            {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"},
            {"appArmorProfile": {"type": "RuntimeDefault"}},
            [
                "spec.template.spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in "
                "annotation and field must match"
            ],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_annotations_of_a_template_mean_what_a_pods_mean(annotations, security, expected):
    template = {
        "metadata": {"labels": {"a": "b"}, "annotations": annotations},
        "spec": {**_RUNNING["spec"], "securityContext": security},
    }
    workload = resource("apps/v1", "Deployment")
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    assert texts(validate_create(workload, made(workload, spec=spec))) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"updateStrategy": {"type": "Recreate"}},
            [
                'spec.updateStrategy: Invalid value: apps.StatefulSetUpdateStrategy{Type:"Recreate", '
                "RollingUpdate:(*apps.RollingUpdateStatefulSetStrategy)(nil)}: must be 'RollingUpdate' or 'OnDelete'"
            ],
        ),
        (
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 2}}},
            [
                "spec.updateStrategy.rollingUpdate: Invalid value: apps.RollingUpdateStatefulSetStrategy{Partition:2, "
                "MaxUnavailable:(*intstr.IntOrString)(nil)}: only allowed for updateStrategy 'RollingUpdate'"
            ],
        ),
        (
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Recycle", "whenDeleted": "Keep"}},
            [
                'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": supported values: '
                '"Retain", "Delete"',
                'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Recycle": supported values: '
                '"Retain", "Delete"',
            ],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_strategies_of_a_stateful_set(fields, expected):
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": _RUNNING, "serviceName": "s", **fields}
    assert texts(validate_create(STATEFUL, made(STATEFUL, spec=spec))) == expected


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("Deployment", {"readyReplicas": -1, "replicas": -1}, ["replicas", "readyReplicas"]),
        ("DaemonSet", {"numberReady": -1, "currentNumberScheduled": -1}, ["currentNumberScheduled", "numberReady"]),
        ("StatefulSet", {"collisionCount": -1, "currentReplicas": -1}, ["currentReplicas", "collisionCount"]),
    ],
)
def test_counts_below_zero_in_upstreams_order(kind, status, expected):
    workload = resource("apps/v1", kind)
    old = made(workload, spec={"selector": {"matchLabels": {"a": "b"}}, "template": _RUNNING})
    below = [f"status.{field}: Invalid value: -1: must be greater than or equal to 0" for field in expected]
    assert texts(validate_status_update(workload, {**old, "status": status}, old))[:2] == below


@pytest.mark.parametrize(
    ("selector", "shown"),
    [
        (None, '"null"'),
        (
            {"matchLabels": {"c": "d"}, "matchExpressions": []},
            'v1.LabelSelector{MatchLabels:map[string]string{"c":"d"}, MatchExpressions:[]v1.LabelSelectorRequirement{}}',
        ),
    ],
    ids=str,
)
def test_a_changed_selector_as_go_prints_it(selector, shown):
    workload = resource("apps/v1", "Deployment")
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": _RUNNING}
    old, new = made(workload, spec=spec), made(workload, spec={**spec, "selector": selector})
    assert (
        texts(validate_update(workload, new, old))[-1] == f"spec.selector: Invalid value: {shown}: field is immutable"
    )
