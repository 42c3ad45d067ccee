"""The official Python client."""

from __future__ import annotations

import pytest
from kubernetes import client, config, watch
from kubernetes.dynamic import DynamicClient

from tests.integration.process import ControlPlane


@pytest.fixture
def api(control_plane: ControlPlane) -> client.ApiClient:
    return config.new_client_from_config(str(control_plane.kubeconfig))


def test_objects_of_types(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed"), data={"a": "1"})
    made = core.create_namespaced_config_map(namespace, body)
    assert made.metadata.uid and made.data == {"a": "1"}
    core.patch_namespaced_config_map("typed", namespace, {"data": {"b": "2"}})
    assert core.read_namespaced_config_map("typed", namespace).data == {"a": "1", "b": "2"}
    seen = []
    stream = watch.Watch()
    for event in stream.stream(core.list_namespaced_config_map, namespace, timeout_seconds=60):
        seen.append((event["type"], event["object"].metadata.name))
        if seen[-1] == ("ADDED", "typed"):
            core.delete_namespaced_config_map("typed", namespace)
        if event["type"] == "DELETED":
            stream.stop()
    assert seen[-1] == ("DELETED", "typed")
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_config_map("typed", namespace)
    assert missing.value.status == 404


def test_the_dynamic_client(api: client.ApiClient, namespace: str) -> None:
    dynamic = DynamicClient(api)
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "dynamic"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    made = deployments.create(body=body, namespace=namespace)
    assert made.spec.strategy.type == "RollingUpdate"
    applied = deployments.server_side_apply(
        body={**body, "spec": {**body["spec"], "minReadySeconds": 3}}, namespace=namespace, field_manager="test"
    )
    assert applied.spec.minReadySeconds == 3
    deployments.delete(name="dynamic", namespace=namespace)
