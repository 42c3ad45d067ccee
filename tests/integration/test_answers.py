"""The bytes and headers of answers: those of a kube-apiserver, whose JSON Go has laid out."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import orjson
import pytest

from apimachinery.client.config import load_kubeconfig
from tests.integration.process import ControlPlane

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
MARKS, ESCAPED = "<&>\u2028\u2029", rb"\u003c\u0026\u003e\u2028\u2029"
OBJECTS: dict[str, tuple[str, dict[str, str]]] = {
    "object": ("/api/v1/namespaces/default", {}),
    "list": ("/api/v1/namespaces", {}),
    "table": ("/api/v1/namespaces", TABLE),
    "refusal": ("/api/v1/namespaces/nobody", {}),
    "discovery": ("/apis/apps/v1", {}),
    "aggregated discovery": ("/apis", AGGREGATED),
}


def laid_out(body: bytes, option: int | None = None) -> bytes:
    """What Go's encoder makes of the same document."""
    written = orjson.dumps(orjson.loads(body), option=option)
    return written.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


@pytest.mark.parametrize("path, headers", OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_a_line(control_plane: ControlPlane, path: str, headers: dict[str, str]) -> None:
    body = control_plane.request("GET", path, headers={**headers, "User-Agent": "kubectl/v1.32.0"}).body
    assert body == laid_out(body) + b"\n"


@pytest.mark.parametrize("path, headers", OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_indented_for_people(control_plane: ControlPlane, path: str, headers: dict[str, str]) -> None:
    """Without an end of line: a shell's prompt stands behind the last brace."""
    body = control_plane.request("GET", path, headers={**headers, "User-Agent": "curl/8.5.0"}).body
    assert body == laid_out(body, orjson.OPT_INDENT_2)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("namespace/kube-system", "/api/v1/namespaces/kube-system"),
        ("clusterrole/cluster-admin", "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin"),
        ("clusterrole/system:node", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"),
        ("flowschema/probes", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/probes"),
    ],
)
def test_yaml_is_that_of_kubectl(control_plane: ControlPlane, kind: str, path: str) -> None:
    body = control_plane.request("GET", path, headers={"Accept": "application/yaml"}).body
    assert body.decode() == control_plane.kubectl("get", kind, "-o", "yaml", "--show-managed-fields").stdout


@pytest.mark.parametrize("agent", ["kubectl/v1.32.0", "curl/8.5.0"])
@pytest.mark.parametrize("path", ["/version", "/"])
def test_what_is_no_object_is_indented_for_everybody(control_plane: ControlPlane, path: str, agent: str) -> None:
    body = control_plane.request("GET", path, headers={"User-Agent": agent}).body
    assert body == laid_out(body, orjson.OPT_INDENT_2)


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1"])
def test_a_schema_is_indented_for_nobody(control_plane: ControlPlane, path: str) -> None:
    body = control_plane.request("GET", path, headers={"User-Agent": "curl/8.5.0"}).body
    assert body == laid_out(body)


def test_a_long_list_is_a_line_too(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(4):
        document = {"metadata": {"name": f"c{number}"}, "data": {"long": "x" * 100_000}}
        assert control_plane.request("POST", path, document).code == 201
    body = control_plane.request("GET", path).body
    assert len(body) > 400_000 and body == laid_out(body) + b"\n"


@pytest.mark.parametrize("headers", [{}, TABLE, PARTIAL], ids=["whole", "table", "metadata"])
@pytest.mark.parametrize("query", ["", "?watch=1&timeoutSeconds=1", "?resourceVersion=0", "/<&>"])
def test_what_looks_like_markup_is_escaped(
    control_plane: ControlPlane, namespace: str, query: str, headers: dict[str, str]
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    document = {"metadata": {"name": "marks", "annotations": {"said": MARKS}}, "data": {"page": MARKS}}
    made = control_plane.request("POST", path, document)
    assert made.code == 201 and made.body.count(ESCAPED) == 2 and orjson.loads(made.body)["data"]["page"] == MARKS
    if not headers:
        assert control_plane.request("GET", f"{path}/marks").body == made.body
    body = control_plane.request("GET", path + query, headers=headers).body
    assert not any(mark.encode() in body for mark in MARKS) and rb"\u003c" in body


def test_what_looks_like_markup_is_not_escaped_in_yaml(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    control_plane.request("POST", path, {"metadata": {"name": "marks"}, "data": {"page": "<&>"}})
    body = control_plane.request("GET", f"{path}/marks", headers={"Accept": "application/yaml"}).body
    assert b"page: <&>" in body


@pytest.mark.parametrize(
    "path", ["/api/v1/namespaces/default", "/api/v1/nowhere", "/nowhere", "/readyz", "/metrics", "/openapi/v2"]
)
def test_no_answer_names_the_program(control_plane: ControlPlane, path: str) -> None:
    for more in ({}, {"anonymous": True}, {"headers": {"Connection": "close"}}):
        arguments: dict[str, Any] = more
        assert "server" not in control_plane.request("GET", path, **arguments).headers


@pytest.mark.parametrize("query", ["", "?watch=1&timeoutSeconds=1", "?watch=1&timeoutSeconds=1&labelSelector=a"])
def test_every_answer_says_who_it_is_and_who_seated_it(control_plane: ControlPlane, query: str) -> None:
    """A watch too, which has begun to answer before anything came."""
    headers = control_plane.request("GET", f"/api/v1/namespaces{query}", headers={"Audit-Id": "mine"}).headers
    assert headers["audit-id"] == "mine" and headers["cache-control"] == "no-cache, private"
    assert headers["x-kubernetes-pf-flowschema-uid"] and headers["x-kubernetes-pf-prioritylevel-uid"]


@pytest.mark.parametrize("closing", [{}, {"Connection": "close"}], ids=["kept", "closed"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [(b'{"metadata":{"name":"No"}}', "Unprocessable Entity"), (b"x" * (3 << 20) + b"x", "Request Entity Too Large")],
    ids=["invalid", "large"],
)
def test_codes_are_named_as_go_names_them(
    control_plane: ControlPlane, body: bytes, reason: str, closing: dict[str, str]
) -> None:
    """Whatever this Python calls them: 3.13 has newer names than 3.11."""
    connection = control_plane.connect()
    with contextlib.closing(connection):
        connection.request("POST", "/api/v1/namespaces", body, {"Content-Type": "application/json", **closing})
        answer = connection.getresponse()
        assert (answer.reason, answer.read()[:1]) == (reason, b"{")


def test_neither_does_the_answer_to_what_is_no_request(control_plane: ControlPlane) -> None:
    context = load_kubeconfig(control_plane.kubeconfig).ssl_context()
    assert context is not None
    with (
        contextlib.closing(socket.create_connection(("127.0.0.1", control_plane.port), 60)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b"GET /version HTTP/1.1\r\nno header\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.") and b" 400 " in answer.splitlines()[0] and b"\r\nServer:" not in answer
