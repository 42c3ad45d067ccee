"""Stock kubectl's --subresource: what is shown and changed of an object is a part of it, or another view."""

from __future__ import annotations

import pytest
import yaml

from tests.integration.definitions import Kind
from tests.integration.process import ControlPlane

PODS = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "busybox"}]}}
SELECTED = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": PODS}
WORKLOADS = {
    "Deployment": ("apps/v1", SELECTED),
    "ReplicaSet": ("apps/v1", SELECTED),
    "StatefulSet": ("apps/v1", {**SELECTED, "serviceName": "web"}),
    "ReplicationController": ("v1", {**SELECTED, "selector": {"a": "b"}}),
}


def scale_of(plane: ControlPlane, namespace: str, name: str) -> list[list[str]]:
    shown = plane.kubectl("get", name, "-n", namespace, "--subresource=scale").stdout
    return [line.split()[:3] for line in shown.splitlines()]


@pytest.mark.parametrize("kind", WORKLOADS)
def test_the_scale_is_a_table(control_plane: ControlPlane, namespace: str, kind: str) -> None:
    version, spec = WORKLOADS[kind]
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(body))
    name = f"{kind.lower()}/web"
    assert scale_of(control_plane, namespace, name) == [["NAME", "DESIRED", "AVAILABLE"], ["web", "0", "0"]]
    patch = ("--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    control_plane.kubectl("patch", name, "-n", namespace, *patch)
    assert scale_of(control_plane, namespace, name)[1][:2] == ["web", "3"]


def test_the_scale_of_a_defined_kind_is_a_table(kind: Kind, namespace: str) -> None:
    kind.plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(kind.object("a")))
    found = scale_of(kind.plane, namespace, f"{kind.plural}.{kind.group}/a")
    assert found == [["NAME", "DESIRED", "AVAILABLE"], ["a", "1", "0"]]


def test_other_forms_of_a_scale(control_plane: ControlPlane, namespace: str) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": SELECTED}
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(body))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web/scale"

    def seen(accept: str, method: str = "GET") -> tuple[int, str]:
        headers = {"Accept": accept, "Content-Type": "application/merge-patch+json"}
        change = {"spec": {"replicas": 5}} if method == "PATCH" else None
        answer = control_plane.request(method, path, change, headers=headers)
        return answer.code, answer.json["kind"]

    shape = "application/json;as={};g=meta.k8s.io;v=v1"
    assert seen(shape.format("Table")) == (200, "Table")
    assert seen(shape.format("PartialObjectMetadata")) == (200, "PartialObjectMetadata")
    assert seen(shape.format("PartialObjectMetadataList")) == (406, "Status")
    assert seen("text/plain", "PATCH") == (406, "Status")
    assert control_plane.request("GET", path).json["spec"] == {}, "what could not be told was not done"
    assert seen(shape.format("Table"), "PATCH") == (200, "Table")
    assert control_plane.request("GET", path).json["spec"] == {"replicas": 5}
