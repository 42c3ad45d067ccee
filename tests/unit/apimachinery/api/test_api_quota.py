"""What objects use of a quota, by kind and scope."""

from datetime import UTC, datetime

import pytest

from apimachinery.api.quota import amounts, scopes
from apimachinery.api.quota.evaluators import PODS, counted_resources, evaluator

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def pod(containers=({},), *, phase="Running", metadata=None, **spec):
    filled = [{"name": f"c{position}", **each} for position, each in enumerate(containers)]
    return {"metadata": metadata or {}, "spec": {"containers": filled, **spec}, "status": {"phase": phase}}


def asks(requests=None, limits=None, **more):
    return {"resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def used(obj, group="", plural="pods"):
    return amounts.spelled(evaluator(group, plural).usage(obj, NOW))


def test_a_pod_uses_what_its_containers_request_and_its_overhead():
    obj = pod([asks({"cpu": "500m", "memory": "1Gi"}, {"cpu": "1"}), asks({"cpu": "250m"})], overhead={"cpu": "50m"})
    assert used(obj) == {
        "count/pods": "1",
        "pods": "1",
        "cpu": "800m",
        "requests.cpu": "800m",
        "memory": "1Gi",
        "requests.memory": "1Gi",
        "limits.cpu": "1050m",
    }


def test_init_containers_count_at_their_worst_and_sidecars_always():
    first, sidecar = asks({"cpu": "3"}, name="first"), asks({"cpu": "1"}, name="side", restartPolicy="Always")
    assert used(pod([asks({"cpu": "1"})], initContainers=[sidecar, first]))["cpu"] == "4"
    assert used(pod([asks({"cpu": "5"})], initContainers=[sidecar, first]))["cpu"] == "6"


def test_extended_resources_and_huge_pages():
    found = used(pod([asks({"example.com/gpu": "2", "hugepages-2Mi": "4Mi", "kubernetes.io/odd": "1"})]))
    assert found["requests.example.com/gpu"] == "2"
    assert (found["hugepages-2Mi"], found["requests.hugepages-2Mi"]) == ("4Mi", "4Mi")
    assert "requests.kubernetes.io/odd" not in found


@pytest.mark.parametrize(
    "obj",
    [
        pod(phase="Succeeded"),
        pod(phase="Failed"),
        pod(metadata={"deletionTimestamp": "2025-06-01T11:59:00Z", "deletionGracePeriodSeconds": 30}),
    ],
    ids=["succeeded", "failed", "stuck"],
)
def test_a_pod_that_ended_is_only_an_object(obj):
    assert used(obj) == {"count/pods": "1"}


def test_a_pod_that_is_ending_still_counts():
    meta = {"deletionTimestamp": "2025-06-01T11:59:45Z", "deletionGracePeriodSeconds": 30}
    assert used(pod(metadata=meta))["pods"] == "1"


@pytest.mark.parametrize(
    ("spec", "nodeports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{}, {}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{}, {}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{}, {}]}, "2", "1"),
        (
            {"type": "LoadBalancer", "ports": [{"nodePort": 30000}, {}], "allocateLoadBalancerNodePorts": False},
            "1",
            "1",
        ),
    ],
    ids=["cluster", "node", "balancer", "balancer without node ports"],
)
def test_services(spec, nodeports, balancers):
    found = used({"spec": spec}, plural="services")
    assert (found["services.nodeports"], found["services.loadbalancers"]) == (nodeports, balancers)


def test_claims_count_by_class_too():
    spec = {"storageClassName": "gold", "resources": {"requests": {"storage": "10Gi"}}}
    assert used({"spec": spec}, plural="persistentvolumeclaims") == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "10Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
    }
    shrunk = {"spec": spec, "status": {"allocatedResources": {"storage": "20Gi"}}}
    assert used(shrunk, plural="persistentvolumeclaims")["requests.storage"] == "20Gi"
    fraction = {"spec": {"resources": {"requests": {"storage": "1500m"}}}}
    assert used(fraction, plural="persistentvolumeclaims")["requests.storage"] == "2", "whole bytes"


def test_everything_else_is_counted():
    assert used({}, "apps", "deployments") == {"count/deployments.apps": "1"}
    assert used({}, "", "configmaps") == {"configmaps": "1", "count/configmaps": "1"}


def test_which_resources_a_quota_is_about():
    assert counted_resources(["pods", "limits.cpu", "requests.nvidia.com/gpu"]) == {("", "pods")}
    assert counted_resources(
        ["count/deployments.apps", "secrets", "gold.storageclass.storage.k8s.io/requests.storage"]
    ) == {
        ("apps", "deployments"),
        ("", "secrets"),
        ("", "persistentvolumeclaims"),
    }


@pytest.mark.parametrize(
    ("scope", "obj", "matches"),
    [
        ({"scopeName": "Terminating"}, pod(activeDeadlineSeconds=0), True),
        ({"scopeName": "Terminating"}, pod(), False),
        ({"scopeName": "NotTerminating"}, pod(), True),
        ({"scopeName": "BestEffort"}, pod(), True),
        ({"scopeName": "BestEffort"}, pod([asks({"cpu": "1"})]), False),
        ({"scopeName": "NotBestEffort"}, pod([asks(limits={"memory": "1"})]), True),
        ({"scopeName": "PriorityClass", "operator": "Exists"}, pod(priorityClassName="high"), True),
        ({"scopeName": "PriorityClass", "operator": "Exists"}, pod(), False),
        ({"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}, pod(priorityClassName="high"), True),
        ({"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}, pod(priorityClassName="low"), True),
        ({"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}, pod(priorityClassName="low"), False),
        (
            {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"},
            pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["b"]}]}}),
            True,
        ),
        ({"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}, pod(), False),
    ],
)
def test_scopes(scope, obj, matches):
    assert scopes.matches_pod(scope, obj) is matches


def test_what_a_container_must_say():
    obj = pod([asks({"cpu": "1"}), {}], initContainers=[{"name": "i"}])
    assert (
        PODS.missing(["cpu", "limits.memory", "pods"], obj) == "must specify cpu for: c1,i; limits.memory for: c0,c1,i"
    )
    assert PODS.missing(["pods", "ephemeral-storage"], obj) == ""


def test_arithmetic():
    one, two = amounts.parse({"cpu": "1", "memory": "1Gi"}), amounts.parse({"cpu": "2"})
    assert amounts.listed(amounts.added(one, two)) == "cpu=3,memory=1Gi"
    assert amounts.listed(amounts.grown(one, two)) == "cpu=0,memory=1Gi"
    assert amounts.exceeded(two, one) == ["cpu"]
    assert amounts.listed(amounts.raised(one, two)) == "cpu=2,memory=1Gi"
