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
