from dataclasses import dataclass

import pytest

from controlplane.apiserver.storage.keys import namespace_prefix, registry_key, registry_prefix


@dataclass(frozen=True)
class Resource:
    group: str
    plural: str


# The keys that `etcdctl get /registry --prefix --keys-only` shows on a kubeadm cluster.
UPSTREAM = [
    ("", "pods", "/registry/pods/"),
    ("", "nodes", "/registry/minions/"),
    ("", "services", "/registry/services/specs/"),
    ("", "endpoints", "/registry/services/endpoints/"),
    ("", "replicationcontrollers", "/registry/controllers/"),
    ("", "events", "/registry/events/"),
    ("events.k8s.io", "events", "/registry/events/"),
    ("apps", "deployments", "/registry/deployments/"),
    ("coordination.k8s.io", "leases", "/registry/leases/"),
    ("discovery.k8s.io", "endpointslices", "/registry/endpointslices/"),
    ("networking.k8s.io", "ingresses", "/registry/ingress/"),
    ("rbac.authorization.k8s.io", "clusterroles", "/registry/clusterroles/"),
    ("storage.k8s.io", "storageclasses", "/registry/storageclasses/"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "/registry/apiextensions.k8s.io/customresourcedefinitions/"),
    ("apiregistration.k8s.io", "apiservices", "/registry/apiregistration.k8s.io/apiservices/"),
    ("snapshot.storage.k8s.io", "volumesnapshots", "/registry/snapshot.storage.k8s.io/volumesnapshots/"),
    ("stable.example.com", "pods", "/registry/stable.example.com/pods/"),
]


@pytest.mark.parametrize(("group", "plural", "prefix"), UPSTREAM, ids=[f"{p}.{g}" for g, p, _ in UPSTREAM])
def test_prefix(group: str, plural: str, prefix: str) -> None:
    assert registry_prefix(Resource(group, plural)) == prefix


@pytest.mark.parametrize("namespace", [None, ""])
def test_key_without_namespace(namespace: str | None) -> None:
    assert registry_key(Resource("", "nodes"), "node-1", namespace) == "/registry/minions/node-1"


def test_key_with_namespace() -> None:
    assert registry_key(Resource("", "services"), "web", "default") == "/registry/services/specs/default/web"


def test_namespace_prefix() -> None:
    pods = Resource("", "pods")
    assert namespace_prefix(pods) == "/registry/pods/"
    assert namespace_prefix(pods, "default") == "/registry/pods/default/"
