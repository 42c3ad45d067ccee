"""Pods: quality of service, binding, and what kubectl shows of them."""

from datetime import UTC, datetime

import pytest

from apimachinery.api.catalogue import PODS
from apimachinery.meta.pod_resources import qos_class
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.pod import PodStrategy, bound
from controlplane.apiserver.tables.pods import print_pod

NOW = datetime(2024, 1, 2, 12, 0, tzinfo=UTC)


async def _all(_):
    return Decision.ALLOW, ""


def status_call(subresource="status"):
    return Call(User("u"), PODS, "update", "n", "web", _all, subresource)


def resources(requests=None, limits=None):
    return {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{"name": "c"}], "BestEffort"),
        ([resources({"cpu": "1"})], "Burstable"),
        ([resources({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1Gi"})], "Guaranteed"),
        ([resources({"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"})], "Burstable"),
        ([resources(None, {"cpu": "1", "memory": "1Gi"}), {"name": "d"}], "Burstable"),
        ([resources(None, {"cpu": "1", "memory": "1Gi"})], "Guaranteed"),
    ],
)
def test_quality_of_service(containers, expected):
    assert qos_class({"spec": {"containers": containers}}) == expected


def pod(**status):
    return {
        "metadata": {"name": "web", "uid": "u1", "creationTimestamp": "2024-01-02T11:55:00Z"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running", **status},
    }


def test_binding_sets_the_node_and_says_so():
    now = "2024-01-02T12:00:00Z"
    result = bound(pod(), {"metadata": {"annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n1"}}, now)
    assert result["spec"]["nodeName"] == "n1"
    assert result["metadata"]["annotations"] == {"a": "b"}
    assert result["status"]["conditions"][-1]["type"] == "PodScheduled"


def test_conditions_have_their_times_also_where_nobody_set_them():
    """As Go writes them: `kubectl get pod -o yaml` shows `lastProbeTime: null`."""
    state = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-02T11:55:00Z"}]}
    new = {"metadata": {"name": "web"}, "status": state}
    PodStrategy(PODS).prepare_status(status_call(), new, pod())
    [ready] = new["status"]["conditions"]
    assert ready["lastProbeTime"] is None and ready["lastTransitionTime"] == "2024-01-02T11:55:00Z"

    gated = {"metadata": {"name": "web"}, "spec": {"containers": [], "schedulingGates": [{"name": "a"}]}}
    PodStrategy(PODS).prepare_create(status_call(""), gated)
    [waits] = gated["status"]["conditions"]
    assert waits["reason"] == "SchedulingGated"
    assert waits["lastProbeTime"] is None and waits["lastTransitionTime"] is None


def test_binding_turns_the_condition_in_its_place():
    held = [
        {"type": "PodScheduled", "status": "False", "lastTransitionTime": "2024-01-02T11:55:00Z"},
        {"type": "example.com/gate", "status": "True"},
    ]
    now = "2024-01-02T12:00:00Z"
    result = bound(pod(conditions=held), {"target": {"name": "n1"}}, now)
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    assert result["status"]["conditions"] == [scheduled, held[1]]


@pytest.mark.parametrize(
    ("change", "binding", "code", "sentence"),
    [
        ({"spec": {"nodeName": "n0"}}, {"target": {"name": "n1"}}, 409, 'already assigned to node "n0"'),
        ({"metadata": {"deletionTimestamp": "x"}}, {"target": {"name": "n1"}}, 409, "is being deleted"),
        ({}, {"metadata": {"uid": "u2"}, "target": {"name": "n1"}}, 409, "UID in precondition"),
        (
            {"metadata": {"resourceVersion": "8"}},
            {"metadata": {"resourceVersion": "7"}, "target": {"name": "n1"}},
            409,
            "ResourceVersion in precondition: 7, ResourceVersion in object meta: 8",
        ),
        ({}, {"target": {"kind": "Pod", "name": "n1"}}, 422, "target.kind"),
        ({}, {"target": {}}, 422, "target.name"),
    ],
)
def test_binding_refused(change, binding, code, sentence):
    obj = pod()
    for field, more in change.items():
        obj[field] = {**obj[field], **more}
    with pytest.raises(ApiError) as refused:
        bound(obj, binding, "2024-01-02T12:00:00Z")
    assert refused.value.code == code and sentence in refused.value.message


RUNNING = {"name": "c", "ready": True, "restartCount": 0, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("obj", "ready", "status", "restarts"),
    [
        (pod(containerStatuses=[RUNNING]), "1/1", "Running", "0"),
        (
            pod(containerStatuses=[{**RUNNING, "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
            "0/1",
            "CrashLoopBackOff",
            "0",
        ),
        (
            pod(
                containerStatuses=[
                    {**RUNNING, "restartCount": 2, "lastState": {"terminated": {"finishedAt": "2024-01-02T11:58:00Z"}}}
                ]
            ),
            "1/1",
            "Running",
            "2 (2m ago)",
        ),
        (
            pod(phase="Failed", containerStatuses=[{"name": "c", "state": {"terminated": {"exitCode": 3}}}]),
            "0/1",
            "ExitCode:3",
            "0",
        ),
        (pod(phase="Pending"), "0/1", "Pending", "0"),
        (
            {**pod(), "metadata": {**pod()["metadata"], "deletionTimestamp": "2024-01-02T12:00:00Z"}},
            "0/1",
            "Terminating",
            "0",
        ),
    ],
    ids=["running", "waiting", "restarted", "exit code", "pending", "terminating"],
)
def test_the_row_of_a_pod(obj, ready, status, restarts):
    cells = print_pod(obj, NOW)
    assert cells[:5] == ["web", ready, status, restarts, "5m"]


def test_init_containers_are_counted():
    obj = pod(
        phase="Pending", initContainerStatuses=[{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j"}]
    )
    obj["spec"]["initContainers"] = [{"name": "i"}, {"name": "j"}]
    assert print_pod(obj, NOW)[2] == "Init:1/2"
