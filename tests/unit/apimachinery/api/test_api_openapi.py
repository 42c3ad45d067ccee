"""The OpenAPI documents: what stock clients look for in them."""

import pytest

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.schema import SCHEMA

_GROUP_VERSIONS = [
    f"{group}/{version}" if group else version
    for group, versions in CATALOGUE.versions().items()
    for version in versions
]


def _references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


@pytest.mark.parametrize("group_version", _GROUP_VERSIONS)
def test_every_reference_of_version_3_resolves(group_version):
    document = SCHEMA.openapi_v3(group_version)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= known
    assert document["openapi"] == "3.0.0"


def test_patch_says_that_it_takes_field_validation_and_strategic_merge():
    operation = SCHEMA.openapi_v3("apps/v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"][
        "patch"
    ]
    assert "fieldValidation" in {parameter["name"] for parameter in operation["parameters"]}
    assert "application/strategic-merge-patch+json" in operation["requestBody"]["content"]
    assert operation["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}


def test_paths_of_namespaced_and_cluster_resources():
    paths = SCHEMA.openapi_v3("v1")["paths"]
    assert set(paths["/api/v1/pods"]) == {"parameters", "get"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods"]) == {"parameters", "get", "post", "delete"}
    assert set(paths["/api/v1/nodes/{name}"]) == {"parameters", "get", "put", "patch", "delete"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods/{name}/status"]) == {"parameters", "get", "put", "patch"}
    assert "/api/v1/namespaces/{namespace}" not in paths
    assert "/api/v1/namespaces/{name}" in paths


def test_schemas_keep_their_prose_and_merge_keys():
    schemas = SCHEMA.openapi_v3("v1")["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["description"].startswith("List of containers belonging to the pod.")
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert "null" not in str(containers["type"])
    assert schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"] == [
        {"group": "", "kind": "Pod", "version": "v1"}
    ]


def test_version_2_holds_every_definition_and_no_nullable_type():
    document = SCHEMA.openapi_v2()
    assert set(_references(document)) <= {f"#/definitions/{name}" for name in document["definitions"]}
    assert document["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["replicas"]["type"] == "integer"


def test_nothing_is_served_of_an_unknown_group():
    with pytest.raises(KeyError):
        SCHEMA.openapi_v3("example.com/v1")
