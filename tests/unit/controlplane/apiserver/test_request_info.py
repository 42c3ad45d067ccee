"""Reading a path: the attributes that authorization and routing go by."""

import pytest

from controlplane.apiserver.front.request_info import parse


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", {"watch": "true"}, ("watch", "", "v1", "a", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/p", {}, ("get", "", "v1", "a", "pods", "", "p")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", {}, ("get", "", "v1", "a", "pods", "log", "p")),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", {}, ("create", "apps", "v1", "a", "deployments", "", "")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d", {}, ("patch", "apps", "v1", "a", "deployments", "", "d")),
        ("DELETE", "/api/v1/namespaces/a/pods", {}, ("deletecollection", "", "v1", "a", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "", "v1", "a", "namespaces", "", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", {}, ("update", "", "v1", "a", "namespaces", "finalize", "a")),
        ("PUT", "/api/v1/nodes/n/status", {}, ("update", "", "v1", "", "nodes", "status", "n")),
        ("GET", "/api/v1/watch/namespaces/a/pods", {}, ("watch", "", "v1", "a", "pods", "", "")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=p"}, ("list", "", "v1", "", "pods", "", "p")),
        ("HEAD", "/api/v1/nodes/n", {}, ("get", "", "v1", "", "nodes", "", "n")),
        ("GET", "/api/v1/namespaces/a/secrets/b%2Fc", {}, ("get", "", "v1", "a", "secrets", "c", "b")),
        ("GET", "/api%2Fv1/namespaces/a%2fsecrets", {}, ("list", "", "v1", "a", "secrets", "", "")),
        ("GET", "/api/v1/namespaces/a%2Fsecrets/s", {}, ("get", "", "v1", "a", "secrets", "", "s")),
        ("GET", "/api/v1/namespaces/..", {}, ("get", "", "v1", "..", "namespaces", "", "..")),
        ("GET", "/api/v1/namespaces/a/secrets/%2e", {}, ("get", "", "v1", "a", "secrets", "", ".")),
    ],
)
def test_resource_paths(method, path, query, expected):
    info = parse(method, path, query)
    found = (info.verb, info.group, info.version, info.namespace, info.resource, info.subresource, info.name)
    assert info.is_resource
    assert found == expected


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/api",
        "/api/v1",
        "/apis/apps/v1",
        "/version",
        "/api/v1//pods",
        "/api/v1/namespaces/a/../kube-system/secrets",
        "/api/v1/namespaces/a/%2e%2e/secrets",
        "/api/v1/namespaces/a%2F..%2Fkube-system/secrets",
        "/api/v1/namespaces/a/..",
        "/api/v1/namespaces/a/secrets/%2F",
        "/%2Fapi/v1/namespaces/a/secrets",
        "/api/v1/namespaces/a/secrets/s/..",
        "/api/v1/namespaces/a%00/secrets/s",
        "//api/v1/secrets",
    ],
)
def test_what_is_no_resource(path):
    assert not parse("GET", path, {}).is_resource


def test_the_path_behind_a_proxy_is_kept_as_it_was_sent():
    info = parse("GET", "/api/v1/nodes/n/proxy/logs/a%20b/c", {})
    assert (info.subresource, info.rest) == ("proxy", "logs/a%20b/c")


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/api/v1/namespaces/ns/pods/p/proxy/a//b%2Fc", "a//b%2Fc"),
        ("/api/v1/namespaces/ns%2Fpods%2Fp/proxy/a%20b", "a%20b"),
        ("/api/v1/namespaces/ns/services/https:s:443/proxy//", ""),
        ("/api/v1/nodes/n/proxy//metrics", "/metrics"),
    ],
)
def test_what_follows_a_proxy_is_the_backends(path: str, rest: str) -> None:
    info = parse("GET", path, {})
    assert (info.is_resource, info.subresource, info.rest) == (True, "proxy", rest)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes/n/proxy/a/../b",
        "/api/v1/nodes//n/proxy/a",
        "/api/v1/nodes/n/proxy/a%2F..%2Fb",
        "/apis/apps/v1/namespaces/ns/deployments/d/proxy//x",
    ],
)
def test_paths_that_mean_no_proxy(path: str) -> None:
    assert not parse("GET", path, {}).is_resource
