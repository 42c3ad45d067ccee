"""Every kind of the catalogue on the real server: stored with its defaults, refused with upstream's words."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from apimachinery.api.catalogue import CATALOGUE, Resource
from tests.integration.kinds import KINDS, Kind
from tests.integration.process import ControlPlane

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> str:
    """One namespace for all of them: each test removes what it made."""
    return control_plane.namespace(f"kinds-{next(_NUMBERS)}")


def resource_of(kind: Kind) -> Resource:
    found = CATALOGUE.by_kind(kind.api_version, kind.kind)
    assert found is not None
    return found


def document(kind: Kind, fields: dict[str, Any], namespace: str) -> Any:
    metadata = {"name": kind.name, **fields.get("metadata", {})}
    whole = {"apiVersion": kind.api_version, "kind": kind.kind, **fields, "metadata": metadata}
    return orjson.loads(orjson.dumps(whole).replace(b"{namespace}", namespace.encode()))


def within(expected: Any, found: Any) -> bool:
    """Whether everything expected is found; lists of the same length."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(within(value, found.get(key)) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(within, expected, found))
    return bool(expected == found)


def test_the_table_is_the_catalogue() -> None:
    creatable = {
        f"{resource.api_version}.{resource.kind}"
        for resource in CATALOGUE
        if {"create", "get"} <= set(resource.verbs) and "/" not in resource.plural
    }
    assert {kind.label for kind in KINDS} == creatable


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label)
def test_a_minimal_object(control_plane: ControlPlane, place: str, kind: Kind) -> None:
    resource = resource_of(kind)
    path = resource.path(place if resource.namespaced else None)
    made = control_plane.request("POST", path, document(kind, kind.body, place))
    assert made.code == 201, made.body
    try:
        found = control_plane.request("GET", f"{path}/{kind.name}").json
        assert (found["apiVersion"], found["kind"]) == (kind.api_version, kind.kind)
        assert found["metadata"]["uid"] == made.json["metadata"]["uid"]
        assert within(kind.stored, found), found
    finally:
        gone = control_plane.request("DELETE", f"{path}/{kind.name}?gracePeriodSeconds=0")
    assert gone.code in (200, 202), gone.body


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label)
def test_an_object_that_is_refused(control_plane: ControlPlane, place: str, kind: Kind) -> None:
    resource = resource_of(kind)
    path = resource.path(place if resource.namespaced else None)
    refused = control_plane.request("POST", f"{path}?dryRun=All", document(kind, kind.wrong, place)).json
    # Events of both groups are of the core group inside.
    group = f".{resource.group}" if resource.group and kind.kind != "Event" else ""
    words = f'{kind.kind}{group} "{kind.name}" is invalid: '
    assert (refused["code"], refused["reason"]) == (422, "Invalid"), refused
    if kind.text:
        assert refused["message"] == words + kind.text
    assert refused["details"]["causes"], refused


@pytest.mark.parametrize("name", ["foo\n", "..", "a%2Fb", "A", "a" * 254, "a..b", "-a", "é"])
def test_names_that_no_object_may_have(control_plane: ControlPlane, place: str, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    refused = control_plane.request("POST", f"/api/v1/namespaces/{place}/configmaps", body).json
    assert refused["code"] == 422 and refused["details"]["causes"][0]["field"] == "metadata.name", refused


def test_warnings_go_out_with_the_answer(control_plane: ControlPlane, place: str) -> None:
    container = {"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "warned"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    made = control_plane.request("POST", f"/apis/apps/v1/namespaces/{place}/deployments?dryRun=All", body)
    assert made.headers["warning"] == (
        '299 - "spec.template.spec.containers[0].env[1]: hides previous definition of \\"A\\", which may be dropped '
        'when using apply"'
    )


def test_put_creates_what_it_may_and_replaces_only_what_it_saw(control_plane: ControlPlane, place: str) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "put"}}
    path = f"/apis/coordination.k8s.io/v1/namespaces/{place}/leases/put"
    assert control_plane.request("PUT", path, lease).code == 201
    blind = control_plane.request("PUT", path, lease).json
    assert blind["code"] == 422 and "must be specified for an update" in blind["message"]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "put"}}
    path = f"/api/v1/namespaces/{place}/configmaps/put"
    assert control_plane.request("PUT", path, config).code == 404


def test_an_event_is_one_object_in_two_groups(control_plane: ControlPlane, place: str) -> None:
    kind = next(kind for kind in KINDS if kind.label == "events.k8s.io/v1.Event")
    body = document(kind, {**kind.body, "metadata": {"name": "shared"}}, place)
    assert control_plane.request("POST", f"/apis/events.k8s.io/v1/namespaces/{place}/events", body).code == 201
    core = control_plane.request("GET", f"/api/v1/namespaces/{place}/events/shared").json
    assert (core["message"], core["involvedObject"]["name"], core["reportingComponent"]) == (
        "hello",
        "p",
        "minimal.example/c",
    )
    changed = {**body, "note": "other"}
    refused = control_plane.request("PUT", f"/apis/events.k8s.io/v1/namespaces/{place}/events/shared", changed).json
    assert refused["message"].endswith('message: Invalid value: "other": field is immutable')


def test_an_autoscaler_in_both_versions(control_plane: ControlPlane, place: str) -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "none"}, "maxReplicas": 2}
    metric = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
    }
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "both"},
        "spec": {**spec, "metrics": [cpu, metric]},
    }
    v1, v2 = (f"/apis/autoscaling/{version}/namespaces/{place}/horizontalpodautoscalers" for version in ("v1", "v2"))
    assert control_plane.request("POST", v2, body).code == 201
    old = control_plane.request("GET", f"{v1}/both").json
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50 and "metrics" not in old["spec"]
    assert orjson.loads(old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]) == [
        {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}
    ]
    old["spec"]["maxReplicas"] = 3
    # The controller writes the status meanwhile: an autoscaler may be put whatever version is stored.
    del old["metadata"]["resourceVersion"]
    assert control_plane.request("PUT", f"{v1}/both", old).code == 200
    new = control_plane.request("GET", f"{v2}/both").json
    assert new["spec"]["metrics"] == [metric, cpu]
    assert new["spec"]["maxReplicas"] == 3 and "annotations" not in new["metadata"]
