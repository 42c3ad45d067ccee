"""One discovery and one OpenAPI document out of several."""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.aggregation import documents, registration
from controlplane.apiserver.aggregation.apiservices import ApiServices, sorted_groups

Object = dict[str, Any]


def api(group: str, version: str, minimum: int = 100, priority: int = 10, **spec: Any) -> Object:
    wanted = {"group": group, "version": version, "groupPriorityMinimum": minimum, "versionPriority": priority}
    return {"metadata": {"name": f"{version}.{group}"}, "spec": {**wanted, **spec}}


def test_groups_and_versions_by_priority_then_name() -> None:
    apis = [
        api("b", "v1"),
        api("a", "v1beta1"),
        api("a", "v1"),
        api("a", "v2alpha1", priority=50),
        api("low", "v1", 1),
        api("low", "v2", 900),
        api("", "v1", 18000),
    ]
    assert sorted_groups(apis) == {"low": ["v2", "v1"], "a": ["v2alpha1", "v1", "v1beta1"], "b": ["v1"]}


def test_the_index_tells_who_serves_and_who_listens_hears() -> None:
    index, heard = ApiServices(), list[str]()
    index.put(api("", "v1", 18000))
    index.listen(heard.append)
    assert heard == ["v1."] and not index.any_remote.is_set()
    far = api("a", "v1", service={"name": "s", "namespace": "ns"})
    index.put(far)
    assert index.server_of("a", "v1") is far and index.server_of("", "v1") is None and index.any_remote.is_set()
    index.drop(far)
    index.drop(far)
    assert heard == ["v1.", "v1.a", "v1.a"] and index.server_of("a", "v1") is None


def test_built_in_apiservices_are_in_the_order_of_the_catalogue() -> None:
    found = sorted_groups(registration.built_in().values())
    assert list(documents.APIREGISTRATION | found) == [each["name"] for each in documents.group_list(found)["groups"]]
    assert list(found)[:3] == ["apps", "events.k8s.io", "authentication.k8s.io"] and found["autoscaling"] == [
        "v2",
        "v1",
    ]


def test_apiservices_of_a_definition() -> None:
    versions = [{"name": "v1", "served": True}, {"name": "v0", "served": False}]
    found = registration.of_definition({"spec": {"group": "x.io", "versions": versions}})
    assert list(found) == ["v1.x.io"]
    assert found["v1.x.io"]["spec"] == {
        "group": "x.io",
        "groupPriorityMinimum": 1000,
        "version": "v1",
        "versionPriority": 100,
    }


def test_discovery_keeps_local_versions_and_puts_remote_ones_in_their_place() -> None:
    local = [
        {"metadata": {"name": "apiregistration.k8s.io"}, "versions": [{"version": "v1"}]},
        {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [1]}]},
        {"metadata": {"name": "mixed"}, "versions": [{"version": "v1"}]},
    ]
    remote = {("mixed", "v2"): {"version": "v2"}, ("far", "v1"): {"version": "v1", "freshness": "Stale"}}
    merged = documents.merged_discovery(local, remote, {"apps": 17800, "far": 20000}, {("mixed", "v2"): 20})
    assert [each["metadata"]["name"] for each in merged] == ["apiregistration.k8s.io", "far", "apps", "mixed"]
    assert [each["version"] for each in merged[3]["versions"]] == ["v2", "v1"]
    assert merged[2]["versions"][0]["resources"] == [1] and len(local[2]["versions"]) == 1


def test_a_legacy_list_as_aggregated_discovery() -> None:
    listed = [
        {"name": "pods/log", "namespaced": True, "kind": "Log", "verbs": ["get"], "group": "other", "version": "v9"},
        {
            "name": "pods",
            "namespaced": True,
            "kind": "Pod",
            "singularName": "pod",
            "verbs": ["list"],
            "shortNames": ["p"],
        },
    ]
    assert documents.discovered_resources(listed, "g", "v1") == [
        {
            "resource": "pods",
            "responseKind": {"group": "g", "version": "v1", "kind": "Pod"},
            "scope": "Namespaced",
            "singularResource": "pod",
            "verbs": ["list"],
            "shortNames": ["p"],
            "subresources": [
                {
                    "subresource": "log",
                    "responseKind": {"group": "other", "version": "v9", "kind": "Log"},
                    "verbs": ["get"],
                }
            ],
        }
    ]


def test_openapi_definitions_that_differ_are_renamed() -> None:
    local = {"paths": {"/api": {}}, "definitions": {"Meta": {"type": "object"}, "Status": {"type": "string"}}}
    theirs: Object = {
        "paths": {
            "/apis/g/v1/x": {"get": {"$ref": "#/definitions/X"}},
            "/apis/other/v1/y": {"$ref": "#/definitions/Y"},
        },
        "definitions": {
            "X": {"properties": {"meta": {"$ref": "#/definitions/Meta"}, "all": [{"$ref": "#/definitions/Status"}]}},
            "Meta": {"type": "integer"},
            "Status": {"type": "string"},
            "Y": {},
        },
    }
    merged = documents.merged_openapi(local, [("/apis/g/v1", theirs)])
    assert set(merged["paths"]) == {"/api", "/apis/g/v1/x"}
    assert merged["definitions"] == {
        "Meta": {"type": "object"},
        "Meta_v2": {"type": "integer"},
        "Status": {"type": "string"},
        "X": {"properties": {"meta": {"$ref": "#/definitions/Meta_v2"}, "all": [{"$ref": "#/definitions/Status"}]}},
    }
    assert theirs["definitions"]["X"]["properties"]["meta"] == {"$ref": "#/definitions/Meta"}


def test_shared_parameters_of_another_server_come_along_and_differing_ones_are_renamed() -> None:
    local = {
        "paths": {},
        "definitions": {"Options": {"type": "object"}},
        "parameters": {"limit-1": {"name": "limit", "type": "integer"}, "body-1": _body("Options")},
    }
    theirs: Object = {
        "paths": {"/apis/g/v1/x": {"parameters": [{"$ref": f"#/parameters/{name}"} for name in ("limit-1", "body-1")]}},
        "definitions": {"Options": {"type": "string"}},
        "parameters": {
            "limit-1": {"name": "limit", "type": "integer"},
            "body-1": _body("Options"),
            "unused-1": {"name": "unused", "type": "string"},
        },
    }
    merged = documents.merged_openapi(local, [("/apis/g/v1", theirs)])
    assert merged["paths"]["/apis/g/v1/x"]["parameters"] == [
        {"$ref": "#/parameters/limit-1"},
        {"$ref": "#/parameters/body-1_v2"},
    ]
    assert merged["definitions"] == {"Options": {"type": "object"}, "Options_v2": {"type": "string"}}
    assert merged["parameters"] == {**local["parameters"], "body-1_v2": _body("Options_v2")}


def _body(definition: str) -> Object:
    return {"name": "body", "in": "body", "schema": {"$ref": f"#/definitions/{definition}"}}
