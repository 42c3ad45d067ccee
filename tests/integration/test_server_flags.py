"""Flags of the API server that operators meet, on a server of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import orjson
import pytest

from apimachinery.kit.jwt import decode
from tests.integration.apiservers import ApiServer
from tests.integration.process import DEADLINE, wait_until

MAPS = "/api/v1/namespaces/default/configmaps"


def test_what_is_turned_off_is_nowhere(tmp_path: Path) -> None:
    off = "autoscaling/v2=false,batch/v1=false,apps/v1/daemonsets=false,policy/v1beta1=false"
    before = ApiServer(tmp_path / "data", "sqlite")
    before.start()
    assert before.request("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.batch").code == 200
    before.stop()
    server = ApiServer(tmp_path / "data", "sqlite", f"--runtime-config={off}")
    server.port = before.port  # the kubeconfig's
    server.start()
    try:
        groups = {group["name"]: group for group in server.request("GET", "/apis").json["groups"]}
        assert "batch" not in groups and groups["autoscaling"]["preferredVersion"]["version"] == "v1"
        assert "daemonsets" not in server.kubectl("api-resources", "--api-group=apps", "-o", "name").stdout
        assert server.kubectl("api-versions").stdout.split().count("autoscaling/v2") == 0
        paths = server.request("GET", "/openapi/v3").json["paths"]
        assert not {"apis/batch", "apis/batch/v1", "apis/autoscaling/v2"} & paths.keys() and "apis/apps/v1" in paths
        document = server.request("GET", "/openapi/v2").json["paths"]
        assert "/apis/apps/v1/deployments" in document and "/apis/apps/v1/daemonsets" not in document
        assert not any(path.startswith(("/apis/batch/", "/apis/autoscaling/v2/")) for path in document)
        gone = server.request("GET", "/apis/apps/v1/daemonsets")
        assert gone.json["message"] == "the server could not find the requested resource" and gone.code == 404
        for path in ("/apis/batch", "/apis/batch/v1", "/apis/batch/v1/jobs", "/openapi/v3/apis/batch/v1"):
            assert server.request("GET", path).code == 404, path
        assert server.request("GET", "/apis/autoscaling/v2/horizontalpodautoscalers").code == 404
        assert server.request("GET", "/apis/autoscaling/v1/horizontalpodautoscalers").json["items"] == []
        registered = server.kubectl("get", "apiservices", "-o", "name").stdout
        assert "v1.apps" in registered and "v1.batch" not in registered and "v2.autoscaling" not in registered
    finally:
        server.stop()


def test_the_kubernetes_service_may_have_a_node_port(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", "sqlite", "--kubernetes-service-node-port=32443")
    server.start()
    try:
        services = "/api/v1/namespaces/default/services"
        spec = server.request("GET", f"{services}/kubernetes").json["spec"]
        assert (spec["type"], spec["externalTrafficPolicy"]) == ("NodePort", "Cluster")
        assert [(port["port"], port["nodePort"]) for port in spec["ports"]] == [(443, 32443)]
        ports = [{"port": 80, "nodePort": 32443}]
        other = server.request(
            "POST", services, {"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": ports}}
        )
        assert other.code == 422 and "provided port is already allocated" in other.json["message"]
    finally:
        server.stop()


def test_where_everything_is_allowed_nobody_is_let_in_without_a_name(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", "sqlite", "--authorization-mode=AlwaysAllow", "--anonymous-auth=true")
    server.start()
    try:
        assert server.request("GET", MAPS, anonymous=True).code == 401
        assert server.request("GET", "/readyz", anonymous=True).code == 401
        assert server.request("GET", MAPS, headers={"Impersonate-User": "nobody"}).code == 200
        assert "Resetting AnonymousAuth to false" in server.log
    finally:
        server.stop()


def test_two_clusters_on_one_etcd(own_etcd: str, tmp_path: Path) -> None:
    one = ApiServer(tmp_path / "one", own_etcd, "--etcd-prefix=one")
    two = ApiServer(tmp_path / "two", own_etcd, "--etcd-prefix=/clusters/two/")
    two.start()
    one.start()
    try:
        made = {"metadata": {"name": "mine", "finalizers": ["example.com/kept"]}, "data": {"of": "one"}}
        assert one.request("POST", MAPS, made).code == 201
        assert one.request("POST", MAPS, made).code == 409
        assert two.request("GET", f"{MAPS}/mine").code == 404
        changed = one.request(
            "PATCH", f"{MAPS}/mine", {"data": {"a": "b"}}, headers={"Content-Type": "application/merge-patch+json"}
        )
        assert changed.json["data"] == {"of": "one", "a": "b"}
        names = [each["metadata"]["name"] for each in one.request("GET", MAPS).json["items"]]
        assert "mine" in names
        argv = ["etcdctl", f"--endpoints={own_etcd}", "get", "", "--prefix", "--keys-only"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"ETCDCTL_API": "3", **os.environ})
        keys = set(done.stdout.split())
        assert {"/one/configmaps/default/mine", "/clusters/two/namespaces/default"} <= keys
        assert not any(key.startswith("/registry/") for key in keys)
    finally:
        one.stop()
        two.stop()


def test_a_delayed_end(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", "sqlite", "--shutdown-delay-duration=1h", "--shutdown-send-retry-after")
    server.start()
    assert server.request("GET", "/readyz/shutdown").code == 200
    os.kill(server.pid, signal.SIGTERM)
    wait_until("it is no longer ready", lambda: server.request("GET", "/readyz").code == 500)
    assert b"[-]shutdown failed: reason withheld" in server.request("GET", "/readyz").body
    assert [server.request("GET", path).code for path in ("/livez", "/healthz", "/version")] == [200, 200, 200]
    made = server.request("POST", MAPS, {"metadata": {"name": "late"}})
    assert made.code == 201, "it serves as before"
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait(DEADLINE) == 128 + signal.SIGTERM, "whoever tells it twice does not wait"


@pytest.mark.parametrize("more", [[], ["--shutdown-send-retry-after"]])
def test_the_delay_ends(tmp_path: Path, more: list[str]) -> None:
    server = ApiServer(tmp_path / "data", "sqlite", "--shutdown-delay-duration=10ms", *more)
    server.start()
    assert server.stop() == 0


def test_how_long_a_token_lives(tmp_path: Path) -> None:
    flags = ("--service-account-max-token-expiration=2h", "--service-account-extend-token-expiration=false")
    server = ApiServer(tmp_path / "data", "sqlite", *flags)
    server.start()
    try:
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        assert server.request("POST", accounts, {"metadata": {"name": "robot"}}).code == 201
        container = {"name": "c", "image": "none"}
        pod = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "robot", "containers": [container]}}
        assert server.request("POST", "/api/v1/namespaces/default/pods", pod).code == 201
        reference = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
        for asked, seconds, warning in (
            (86400, 7200, '299 - "requested expiration of 86400 seconds shortened to 7200 seconds"'),
            (3607, 3607, None),
        ):
            spec = {"expirationSeconds": asked, "boundObjectRef": reference}
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            made = server.request("POST", f"{accounts}/robot/token", body)
            assert made.json["spec"]["expirationSeconds"] == seconds and made.headers.get("warning") == warning
            claims = orjson.loads(decode(made.json["status"]["token"].split(".")[1]))
            assert claims["exp"] - claims["iat"] == seconds and "warnafter" not in claims["kubernetes.io"]
    finally:
        server.stop()


def test_browsers_are_told_who_may_read_and_watches_end(tmp_path: Path) -> None:
    server = ApiServer(
        tmp_path / "data", "sqlite", r"--cors-allowed-origins=//example\.com$", "--min-request-timeout=1",
        "--strict-transport-security-directives=max-age=31536000,preload",
        "--service-account-jwks-uri=https://keys.example.com/jwks",
    )  # fmt: skip
    server.start()
    try:
        issuer = server.request("GET", "/.well-known/openid-configuration").json
        assert issuer["jwks_uri"] == "https://keys.example.com/jwks"
        origin = {"Origin": "https://example.com"}
        told = server.request("GET", MAPS, headers=origin).headers
        assert told["access-control-allow-origin"] == "https://example.com"
        assert told["strict-transport-security"] == "max-age=31536000; preload"
        assert "access-control-allow-origin" not in server.request("GET", MAPS).headers
        assert server.request("OPTIONS", MAPS, headers=origin, anonymous=True).code == 204
        assert server.request("GET", MAPS, headers=origin, anonymous=True).code in (401, 403)
        assert server.request("GET", f"{MAPS}?watch=true").code == 200, "it ends by itself"
    finally:
        server.stop()
