"""The resource catalogue, compared with the definitions and with lightkube's."""

import ast
import importlib.util
from pathlib import Path

import pytest

from apimachinery.api import catalogue
from apimachinery.api.catalogue import CATALOGUE, DEPLOYMENTS, NAMESPACES, PODS, SERVICES, with_pod_resize
from apimachinery.api.extract import check
from apimachinery.api.schema import SCHEMA


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("ns"), "/api/v1/namespaces/ns/pods"),
        (PODS.path("ns", "p", "log"), "/api/v1/namespaces/ns/pods/p/log"),
        (DEPLOYMENTS.path("ns", "d", "scale"), "/apis/apps/v1/namespaces/ns/deployments/d/scale"),
        (NAMESPACES.path(name="ns"), "/api/v1/namespaces/ns"),
        (NAMESPACES.path("ignored", "ns"), "/api/v1/namespaces/ns"),
        (
            catalogue.CLUSTERROLES.path(name="system:node"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
        ),
        (catalogue.ROLES.path("ns", "a b"), "/apis/rbac.authorization.k8s.io/v1/namespaces/ns/roles/a%20b"),
    ],
)
def test_paths(path, expected):
    assert path == expected


def test_found_by_path_and_by_kind():
    assert CATALOGUE.find("apps", "v1", "deployments") is DEPLOYMENTS
    assert CATALOGUE.by_kind("v1", "Pod") is PODS
    assert CATALOGUE.find("apps", "v1", "pods") is None
    assert CATALOGUE.by_kind("v1", "Deployment") is None


def test_every_served_kind_has_a_definition():
    assert check(dict(SCHEMA.definitions)) == []


def test_names_are_unique_within_a_group():
    for group, versions in CATALOGUE.versions().items():
        for version in versions:
            words = [
                word
                for each in CATALOGUE.in_version(group, version)
                for word in {each.plural, each.singular, *each.short_names}
            ]
            assert len(words) == len(set(words)), (group, version)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (PODS, "xPOwRZ+Yhw8="),
        (NAMESPACES, "Q3oi5N2YM8M="),
        (SERVICES, "0/CO1lhkEBI="),
        (catalogue.CONFIGMAPS, "qFsyl6wFWjQ="),
        (CATALOGUE.find("events.k8s.io", "v1", "events"), "r2yiGXH7wu8="),
    ],
    ids=str,
)
def test_storage_version_hashes_are_those_of_a_real_server(resource, expected):
    assert resource.storage_version_hash == expected


@pytest.mark.parametrize("name", ["exec", "attach", "portforward", "proxy", "log", "eviction", "binding", "status"])
def test_pods_have_their_subresources(name):
    assert PODS.subresource(name) is not None


def test_a_subresource_of_a_foreign_group():
    scale = DEPLOYMENTS.subresource("scale")
    assert scale is not None and (scale.api_version, scale.kind) == ("autoscaling/v1", "Scale")


def _lightkube() -> dict[tuple[str, str, str], tuple[str, bool]]:
    """Plural → (kind, namespaced) from lightkube's generated modules, read without importing them."""
    spec = importlib.util.find_spec("lightkube")
    assert spec is not None and spec.submodule_search_locations, "lightkube-models is not installed"
    found: dict[tuple[str, str, str], tuple[str, bool]] = {}
    for file in (Path(spec.submodule_search_locations[0]) / "resources").glob("*_v[12].py"):
        for node in ast.parse(file.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            base = ast.unparse(node.bases[0])
            if "SubResource" in base:
                continue
            info = next(each for each in node.body if isinstance(each, ast.Assign)).value
            assert isinstance(info, ast.Call)
            words = {each.arg: each.value for each in info.keywords}
            resource = words["resource"]
            assert isinstance(resource, ast.Call)
            group, version, kind = (ast.literal_eval(each) for each in resource.args)
            found[group, version, ast.literal_eval(words["plural"])] = (kind, "Namespaced" in base)
    return found


def test_kind_plural_and_scope_agree_with_lightkube():
    theirs = _lightkube()
    compared = 0
    for each in CATALOGUE:
        other = theirs.get((each.group, each.version, each.plural))
        if other is not None:
            compared += 1
            assert other == (each.kind, each.namespaced), each
    assert compared > 45


def test_resize_is_served_behind_its_gate_only() -> None:
    grown = with_pod_resize()
    assert PODS.subresource("resize") is None
    served = grown.find("", "v1", "pods")
    assert served is not None and served.subresource("resize") is not None
    assert [each.name for each in served.subresources] == sorted(each.name for each in served.subresources)
    assert len(grown) == len(CATALOGUE) and [a for a, b in zip(grown, CATALOGUE, strict=True) if a != b] == [served]
