"""Upstream's defaulting."""

from copy import deepcopy

import pytest

from apimachinery.api import catalogue, defaults
from apimachinery.api.catalogue import CATALOGUE


def _applied(resource, body):
    defaults.apply(resource, body)
    return body


def _container(**fields):
    pod = _applied(catalogue.PODS, {"spec": {"containers": [{"name": "c", "image": "nginx", **fields}]}})
    return pod["spec"]["containers"][0]


def test_a_pod():
    assert _applied(catalogue.PODS, {"spec": {"containers": [{"name": "c", "image": "nginx"}]}}) == {
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "nginx",
                    "imagePullPolicy": "Always",
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": True,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
        }
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "Always"),
    ],
)
def test_the_pull_policy_follows_the_tag(image, policy):
    assert _container(image=image)["imagePullPolicy"] == policy


def test_requests_default_to_limits_in_pods_only():
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    assert _container(resources=deepcopy(limits))["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    body = {"spec": {"template": {"spec": {"containers": [{"name": "c", "resources": deepcopy(limits)}]}}}}
    _applied(catalogue.DEPLOYMENTS, body)
    assert body["spec"]["template"]["spec"]["containers"][0]["resources"] == limits


def test_probes_and_ports_and_environment():
    container = _container(
        livenessProbe={"httpGet": {"port": 80}},
        readinessProbe={"grpc": {"port": 1}, "periodSeconds": 3},
        lifecycle={"preStop": {"httpGet": {"port": 1}}},
        ports=[{"containerPort": 80}],
        env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    )
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["readinessProbe"]["periodSeconds"] == 3
    assert container["readinessProbe"]["grpc"] == {"port": 1, "service": ""}
    assert container["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


def test_host_ports_on_the_host_network():
    body = {"spec": {"hostNetwork": True, "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}
    assert _applied(catalogue.PODS, body)["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"name": "v"}, {"name": "v", "emptyDir": {}}),
        ({"name": "v", "secret": {}}, {"name": "v", "secret": {"defaultMode": 420}}),
        ({"name": "v", "configMap": {"defaultMode": 0}}, {"name": "v", "configMap": {"defaultMode": 0}}),
        ({"name": "v", "hostPath": {"path": "/"}}, {"name": "v", "hostPath": {"path": "/", "type": ""}}),
        (
            {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "name": "v",
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                },
            },
        ),
    ],
    ids=str,
)
def test_volumes(volume, expected):
    body = {"spec": {"containers": [], "volumes": [volume]}}
    assert _applied(catalogue.PODS, body)["spec"]["volumes"] == [expected]


def test_a_deployment():
    spec = _applied(catalogue.DEPLOYMENTS, {"spec": {"template": {"spec": {"containers": []}}}})["spec"]
    assert spec["replicas"] == 1
    assert spec["revisionHistoryLimit"] == 10
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert "enableServiceLinks" not in spec["template"]["spec"]


def test_a_negative_grace_is_a_second_for_pods_alone():
    given = {"terminationGracePeriodSeconds": -1, "containers": []}
    assert _applied(catalogue.PODS, {"spec": dict(given)})["spec"]["terminationGracePeriodSeconds"] == 1
    template = _applied(catalogue.DEPLOYMENTS, {"spec": {"template": {"spec": dict(given)}}})["spec"]["template"]
    assert template["spec"]["terminationGracePeriodSeconds"] == -1


def test_what_was_given_stays():
    body = {"spec": {"replicas": 0, "strategy": {"type": "Recreate"}, "template": {"spec": {}}}}
    spec = _applied(catalogue.DEPLOYMENTS, body)["spec"]
    assert spec["replicas"] == 0
    assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("resource", "path", "expected"),
    [
        (catalogue.REPLICASETS, ("spec", "replicas"), 1),
        (catalogue.DAEMONSETS, ("spec", "updateStrategy", "rollingUpdate"), {"maxUnavailable": 1, "maxSurge": 0}),
        (catalogue.STATEFULSETS, ("spec", "podManagementPolicy"), "OrderedReady"),
        (catalogue.STATEFULSETS, ("spec", "updateStrategy", "rollingUpdate", "partition"), 0),
        (catalogue.JOBS, ("spec", "backoffLimit"), 6),
        (catalogue.JOBS, ("spec", "completions"), 1),
        (catalogue.JOBS, ("spec", "podReplacementPolicy"), "TerminatingOrFailed"),
        (catalogue.CRONJOBS, ("spec", "concurrencyPolicy"), "Allow"),
        (catalogue.CRONJOBS, ("spec", "failedJobsHistoryLimit"), 1),
        (catalogue.SECRETS, ("type",), "Opaque"),
        (catalogue.PERSISTENTVOLUMES, ("spec", "persistentVolumeReclaimPolicy"), "Retain"),
        (catalogue.PERSISTENTVOLUMECLAIMS, ("status", "phase"), "Pending"),
        (catalogue.STORAGECLASSES, ("volumeBindingMode",), "Immediate"),
        (catalogue.NETWORKPOLICIES, ("spec", "policyTypes"), ["Ingress"]),
        (catalogue.PRIORITYCLASSES, ("preemptionPolicy",), "PreemptLowerPriority"),
        (catalogue.HORIZONTALPODAUTOSCALERS, ("spec", "minReplicas"), 1),
        (catalogue.CUSTOMRESOURCEDEFINITIONS, ("spec", "conversion", "strategy"), "None"),
        (catalogue.FLOWSCHEMAS, ("spec", "matchingPrecedence"), 1000),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else str(value),
)
def test_other_kinds(resource, path, expected):
    found = _applied(resource, {})
    for step in path:
        found = found[step]
    assert found == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"ports": [{"port": 80}]},
            {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            },
        ),
        (
            {"type": "NodePort", "sessionAffinity": "ClientIP"},
            {
                "type": "NodePort",
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
            },
        ),
        ({"type": "ExternalName"}, {"type": "ExternalName", "sessionAffinity": "None"}),
        (
            {"type": "LoadBalancer"},
            {
                "type": "LoadBalancer",
                "sessionAffinity": "None",
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": True,
            },
        ),
    ],
    ids=str,
)
def test_services(spec, expected):
    assert _applied(catalogue.SERVICES, {"spec": spec})["spec"] == expected


def test_a_namespace_bears_its_name_as_a_label():
    body = _applied(catalogue.NAMESPACES, {"metadata": {"name": "a"}})
    assert body == {
        "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
        "status": {"phase": "Active"},
    }


def test_bindings_know_the_group_of_users():
    body = {"roleRef": {"kind": "Role"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]}
    _applied(catalogue.ROLEBINDINGS, body)
    assert body["roleRef"]["apiGroup"] == body["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    assert "apiGroup" not in body["subjects"][1]


@pytest.mark.parametrize("resource", list(CATALOGUE), ids=str)
def test_defaulting_twice_is_defaulting_once(resource):
    once = _applied(resource, {"metadata": {"name": "a"}})
    assert _applied(resource, deepcopy(once)) == once


def test_sources_of_volumes_are_completed_in_pods_and_in_persistent_volumes():
    for resource, place in ((catalogue.PERSISTENTVOLUMES, None), (catalogue.PODS, "volumes")):
        source = {"azureDisk": {"diskName": "d", "diskURI": "u"}, "scaleIO": {}}
        spec = source if place is None else {"containers": [], "volumes": [source]}
        defaults.apply(resource, {"metadata": {"name": "a"}, "spec": spec})
        disk = {"cachingMode": "ReadWrite", "diskName": "d", "diskURI": "u", "fsType": "ext4", "kind": "Shared"}
        assert source["azureDisk"] == {**disk, "readOnly": False}
        assert source["scaleIO"] == {"storageMode": "ThinProvisioned", "fsType": "xfs"}


def test_a_rolling_update_that_a_stateful_set_names_itself_stays_as_it_is():
    named = {"spec": {"updateStrategy": {"type": "RollingUpdate"}}}
    defaults.apply(catalogue.STATEFULSETS, named)
    assert named["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
    silent = {"spec": {}}
    defaults.apply(catalogue.STATEFULSETS, silent)
    assert silent["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}


@pytest.mark.parametrize("resource", [catalogue.JOBS, catalogue.CRONJOBS], ids=str)
def test_a_failure_policy_looks_for_conditions_that_are_true(resource):
    pattern = {"type": "DisruptionTarget"}
    job = {"podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [pattern]}]}}
    defaults.apply(resource, {"spec": job if resource is catalogue.JOBS else {"jobTemplate": {"spec": job}}})
    assert pattern == {"type": "DisruptionTarget", "status": "True"}


def _below(path, value):
    if not path:
        return value
    inner = _below(path[1:], value)
    return [inner] if path[0] == 0 else {path[0]: inner}


_FINE = {"cpu": "100u", "memory": "1500m", "a.example/x": "1e-9"}
_ROUND = {"cpu": "1m", "memory": "1500m", "a.example/x": "1e-3"}


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (catalogue.PODS, ("spec", "containers", 0, "resources", "limits")),
        (catalogue.PODS, ("spec", "initContainers", 0, "resources", "requests")),
        (catalogue.PODS, ("spec", "overhead")),
        (catalogue.PODS, ("spec", "volumes", 0, "ephemeral", "volumeClaimTemplate", "spec", "resources", "requests")),
        (catalogue.DEPLOYMENTS, ("spec", "template", "spec", "containers", 0, "resources", "limits")),
        (catalogue.NODES, ("status", "capacity")),
        (catalogue.LIMITRANGES, ("spec", "limits", 0, "max")),
        (catalogue.RESOURCEQUOTAS, ("spec", "hard")),
        (catalogue.PERSISTENTVOLUMES, ("spec", "capacity")),
        (catalogue.PERSISTENTVOLUMECLAIMS, ("spec", "resources", "requests")),
        (catalogue.RUNTIMECLASSES, ("overhead", "podFixed")),
    ],
    ids=str,
)
def test_amounts_are_no_finer_than_a_thousandth(resource, path):
    amounts = dict(_FINE)
    defaults.apply(resource, _below(path, amounts))
    assert amounts == _ROUND


def test_requests_are_taken_from_rounded_limits():
    assert _container(resources={"limits": {"cpu": "100u"}})["resources"]["requests"] == {"cpu": "1m"}


def test_a_limit_without_amounts_defaults_nothing():
    item = {"type": "Container"}
    defaults.apply(catalogue.LIMITRANGES, {"spec": {"limits": [item]}})
    assert item == {"type": "Container"}


def test_an_empty_behaviour_is_completed():
    behavior = {}
    defaults.apply(catalogue.HORIZONTALPODAUTOSCALERS, {"spec": {"behavior": behavior}})
    assert [behavior[way]["selectPolicy"] for way in ("scaleUp", "scaleDown")] == ["Max", "Max"]


@pytest.mark.parametrize(
    ("one", "many", "expected"),
    [
        ("", [], ("", [])),
        ("1.1.1.1", [], ("1.1.1.1", ["1.1.1.1"])),
        ("", ["1.1.1.1", "2.2.2.2"], ("1.1.1.1", ["1.1.1.1", "2.2.2.2"])),
        ("1.1.1.1", ["1.1.1.1", "::1"], ("1.1.1.1", ["1.1.1.1", "::1"])),
        ("1.1.2.1", ["1.1.1.1", "2.2.2.2"], ("1.1.2.1", ["1.1.2.1"])),
    ],
)
def test_the_old_and_the_new_fields_of_addresses_agree(one, many, expected):
    node = {"podCIDR": one, "podCIDRs": list(many)}
    defaults.apply(catalogue.NODES, {"spec": node})
    assert (node["podCIDR"], node["podCIDRs"]) == expected
    status = {"podIP": one, "podIPs": [{"ip": ip} for ip in many]}
    defaults.apply(catalogue.PODS, {"spec": {"containers": []}, "status": status})
    assert (status["podIP"], [each["ip"] for each in status["podIPs"]]) == expected
