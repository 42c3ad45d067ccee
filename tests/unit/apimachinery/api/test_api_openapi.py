"""The OpenAPI documents: what stock clients look for in them, and that both versions say the same."""

import re
from itertools import chain

import kubernetes.client
import pytest

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.openapi import about
from apimachinery.api.openapi_operations import identify
from apimachinery.api.schema import SCHEMA

_GROUP_VERSIONS = [
    f"{group}/{version}" if group else version
    for group, versions in CATALOGUE.versions().items()
    for version in versions
]
_RESOURCES = list(CATALOGUE)
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def _version_2():
    return SCHEMA.openapi_v2(_RESOURCES)


def _version_3(group_version):
    group, _, version = group_version.rpartition("/")
    return SCHEMA.openapi_v3(group_version, CATALOGUE.in_version(group, version))


def _references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _references(value)


def _resolved(document, node):
    """A shared parameter, or the node itself."""
    where = node.get("$ref", "").split("/")[1:]
    if where[:1] != ["parameters"]:
        return node
    return document["parameters"][where[1]]


def _operations(document):
    """(path, method) → operation, with its path's parameters among its own."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                own = [*operation.get("parameters", ()), *item.get("parameters", ())]
                yield (path, method), {**operation, "parameters": [_resolved(document, each) for each in own]}


def _all_of_version_3():
    documents = [*map(_version_3, _GROUP_VERSIONS), *map(SCHEMA.openapi_about, about(CATALOGUE.versions()))]
    return dict(chain.from_iterable(map(_operations, documents)))


@pytest.mark.parametrize("group_version", _GROUP_VERSIONS)
def test_every_reference_of_version_3_resolves(group_version):
    document = _version_3(group_version)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= known
    assert document["openapi"] == "3.0.0"


def test_patch_says_that_it_takes_field_validation_and_strategic_merge():
    operation = _version_3("apps/v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in {parameter["name"] for parameter in operation["parameters"]}
    assert "application/strategic-merge-patch+json" in operation["requestBody"]["content"]
    assert operation["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}


def test_paths_of_namespaced_and_cluster_resources():
    paths = _version_3("v1")["paths"]
    assert set(paths["/api/v1/pods"]) == {"parameters", "get"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods"]) == {"parameters", "get", "post", "delete"}
    assert set(paths["/api/v1/nodes/{name}"]) == {"parameters", "get", "put", "patch", "delete"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods/{name}/status"]) == {"parameters", "get", "put", "patch"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods/{name}/exec"]) == {"parameters", "get", "post"}
    assert "/api/v1/namespaces/{namespace}" not in paths
    assert "/api/v1/namespaces/{name}" in paths


def test_schemas_keep_their_prose_and_merge_keys():
    schemas = _version_3("v1")["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["description"].startswith("List of containers belonging to the pod.")
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert "null" not in str(containers["type"])
    assert schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"] == [
        {"group": "", "kind": "Pod", "version": "v1"}
    ]


def test_version_2_holds_every_definition_and_no_nullable_type():
    document = _version_2()
    known = {f"#/{section}/{name}" for section in ("definitions", "parameters") for name in document[section]}
    assert set(_references(document)) <= known
    assert document["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["replicas"]["type"] == "integer"


def test_every_operation_of_version_2_is_one_of_version_3_and_the_other_way_round():
    second, third = dict(_operations(_version_2())), _all_of_version_3()
    assert second.keys() == third.keys()
    for key, old in second.items():
        new = third[key]
        for said in ("operationId", "tags", "description", "x-kubernetes-action", "x-kubernetes-group-version-kind"):
            assert old.get(said) == new.get(said), key
        named = {(each["name"], each["in"]) for each in old["parameters"] if each["in"] != "body"}
        assert named == {(each["name"], each["in"]) for each in new["parameters"]}, key
        body = [each for each in old["parameters"] if each["in"] == "body"]
        assert len(body) == ("requestBody" in new), key
        if body:
            sent = body[0]["schema"]["$ref"].rpartition("/")[2]
            assert {each.rpartition("/")[2] for each in _references(new["requestBody"])} == {sent}, key
            assert list(new["requestBody"]["content"]) == list(old["consumes"]), key
        assert old["responses"].keys() == new["responses"].keys(), key
        content = new["responses"]["200"]["content"]
        assert list(content) == list(old["produces"]), key


def test_version_2_is_swagger():
    """The rules of the specification that its schema cannot say (Swagger 2.0: Paths, Operation, Parameter)."""
    document = _version_2()
    assert document["swagger"] == "2.0"
    found = dict(_operations(document))
    identifiers = [operation["operationId"] for operation in found.values()]
    assert len(set(identifiers)) == len(identifiers) > 700
    for (path, method), operation in found.items():
        assert method in _METHODS
        named = [(each["name"], each["in"]) for each in operation["parameters"]]
        assert len(set(named)) == len(named), path
        assert {name for name, where in named if where == "path"} == set(re.findall(r"{(\w+)}", path)), path
        assert all(each["required"] for each in operation["parameters"] if each["in"] == "path")
        assert all("type" in each for each in operation["parameters"] if each["in"] != "body")
        assert operation["responses"] and operation["schemes"] == ["https"]
    # Two paths may not be told apart by the names of their parameters alone.
    blank = [re.sub(r"{\w+}", "{}", path) for path in document["paths"]]
    assert len(set(blank)) == len(blank)
    assert set(document["security"][0]) == set(document["securityDefinitions"])


def test_kubectl_finds_dry_run_in_patch_itself():
    for item in _version_2()["paths"].values():
        if "patch" in item and item["patch"]["x-kubernetes-action"] == "patch":
            assert "dryRun" in {each.get("name") for each in item["patch"]["parameters"]}


def _python_api(tag):
    """The official client's class of a tag: `rbacAuthorization_v1` → RbacAuthorizationV1Api."""
    group, _, version = tag.partition("_")
    return getattr(kubernetes.client, f"{group[0].upper()}{group[1:]}{version.title()}Api")


def _snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def test_the_python_clients_methods_are_our_operations():
    """Its methods are generated from upstream's operation ids, without group and version, in snake case."""
    missing = []
    counted = 0
    for key, operation in _operations(_version_2()):
        if operation.get("x-kubernetes-action") in (None, "watch", "watchlist"):
            continue  # it leaves those out
        (tag,) = operation["tags"]
        place = "".join(word[:1].upper() + word[1:] for word in tag.split("_"))
        name = operation["operationId"].replace(place, "", 1)
        counted += 1
        found = getattr(_python_api(tag), f"{_snake(name)}_with_http_info", None)
        taken = {_snake(each["name"]) for each in operation["parameters"]} - {"body"}
        if found is None:
            missing.append((key, name))
        else:
            # `_continue`, as the other is a word of Python's.
            documented = {word.lstrip("_") for word in re.findall(r":param (?:\w+ )?(\w+):", found.__doc__)}
            missing += [(key, name, each) for each in sorted(taken - documented)]
    assert not missing
    assert counted > 450


@pytest.mark.parametrize(
    ("verb", "path", "identifier", "tag"),
    [
        ("listNamespacedPod", "/api/v1/namespaces/{namespace}/pods", "listCoreV1NamespacedPod", "core_v1"),
        (
            "deletecollectionNamespacedRole",
            "/apis/rbac.authorization.k8s.io/v1/x",
            "deleteRbacAuthorizationV1CollectionNamespacedRole",
            "rbacAuthorization_v1",
        ),
        ("getAPIGroup", "/apis/apps/", "getAppsAPIGroup", "apps"),
        (
            "readNamespacedCronTab",
            "/apis/stable.example.com/v1/x",
            "readStableExampleComV1NamespacedCronTab",
            "stableExampleCom_v1",
        ),
    ],
)
def test_identifiers(verb, path, identifier, tag):
    assert identify(verb, path) == (identifier, tag)


@pytest.mark.parametrize("path", ["apis/example.com/v1", "api/v2/x", "api/apps", "nothing", ""])
def test_nothing_is_about_what_there_is_not(path):
    with pytest.raises(KeyError):
        SCHEMA.openapi_about(path)


def test_nothing_is_served_of_an_unknown_group():
    with pytest.raises(KeyError):
        SCHEMA.openapi_v3("example.com/v1", ())
