"""APIServices: another server's group version, served as if it were this server's own."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.certs import Authority
from tests.integration.ports import free_port, own_number
from tests.integration.process import ROOT, ControlPlane, wait_until

# Of TEST-NET-3, on this machine while a test runs: endpoints may not be loopback addresses.
ADDRESS = f"203.0.113.{1 + own_number()}"
NAME, GROUP = "v1beta1.metrics.k8s.io", "metrics.k8s.io"
BASE = "/apis/metrics.k8s.io/v1beta1"
API = f"/apis/apiregistration.k8s.io/v1/apiservices/{NAME}"
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module", autouse=True)
def address() -> Iterator[None]:
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
    yield
    subprocess.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=True)


class Backend:
    """The metrics server's process, with a certificate for the Service `metrics` of a namespace."""

    def __init__(self, plane: ControlPlane, namespace: str, directory: Path) -> None:
        self._plane, self._directory, self.port = plane, directory, free_port()
        authority = Authority.create("metrics-ca")
        self.ca = authority.pair.cert_pem
        pair = authority.issue("metrics", dns=[f"metrics.{namespace}.svc"], server=True)
        (directory / "crt").write_bytes(pair.cert_pem)
        (directory / "key").write_bytes(pair.key_pem)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        pki = self._plane.directory / "pki"
        argv = [f"--address={ADDRESS}", f"--port={self.port}", f"--kubeconfig={self._plane.kubeconfig}"]
        argv += [f"--cert={self._directory}/crt", f"--key={self._directory}/key"]
        argv += [f"--requestheader-ca={pki}/front-proxy-ca.crt", *more]
        self._process = subprocess.Popen([sys.executable, "-m", "tests.integration.metrics_server", *argv], cwd=ROOT)
        wait_until("the metrics server listens", self._listens)

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None
        with contextlib.suppress(OSError), contextlib.closing(HTTPConnection(ADDRESS, self.port, timeout=1)) as probe:
            probe.connect()
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None


@pytest.fixture
def backend(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Backend]:
    server = Backend(control_plane, namespace, tmp_path)
    try:
        yield server
    finally:
        server.stop()
        control_plane.request("DELETE", API)
        wait_until("the group is gone", lambda: GROUP not in groups(control_plane))


def groups(plane: ControlPlane) -> list[str]:
    return [each["name"] for each in plane.request("GET", "/apis").json["groups"]]


def condition(plane: ControlPlane, name: str = NAME) -> dict[str, str]:
    api = plane.request("GET", f"/apis/apiregistration.k8s.io/v1/apiservices/{name}").json
    listed: list[dict[str, str]] = (api.get("status") or {}).get("conditions") or []
    return next((each for each in listed if each["type"] == "Available"), {})


def wait_reason(plane: ControlPlane, reason: str) -> dict[str, str]:
    found: dict[str, str] = wait_until(
        f"the reason {reason}", lambda: (have := condition(plane)) and have["reason"] == reason and have
    )
    assert found["status"] == str(reason == "Passed")
    return found


def service(port: int = 443, name: str = "") -> dict[str, Any]:
    ports = [{"port": port, "name": name} if name else {"port": port}]
    return {"metadata": {"name": "metrics"}, "spec": {"ports": ports}}


def slice_of(port: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "metrics-1", "labels": {"kubernetes.io/service-name": "metrics"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
    }


def api_service(namespace: str, **spec: Any) -> dict[str, Any]:
    reference = {"name": "metrics", "namespace": namespace, "port": 443}
    wanted = {"group": GROUP, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100}
    return {"metadata": {"name": NAME}, "spec": {**wanted, "service": reference, **spec}}


def create(plane: ControlPlane, path: str, document: dict[str, Any]) -> None:
    answer = plane.request("POST", path, document)
    assert answer.code == 201, answer.body


def serve(plane: ControlPlane, namespace: str, backend: Backend, *more: str) -> None:
    """Everything in place, and the APIService available."""
    backend.start(*more)
    create(plane, f"/api/v1/namespaces/{namespace}/services", service())
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    create(plane, slices, slice_of(backend.port))
    bundle = base64.b64encode(backend.ca).decode()
    create(plane, API.rpartition("/")[0], api_service(namespace, caBundle=bundle))
    wait_reason(plane, "Passed")


def test_the_servers_own_group_versions_are_registered(control_plane: ControlPlane) -> None:
    listed = control_plane.request("GET", "/apis/apiregistration.k8s.io/v1/apiservices").json["items"]
    local = {each["metadata"]["name"]: each for each in listed if "service" not in each["spec"]}
    assert {"v1.", "v1.apps", "v1.batch", "v2.autoscaling", "v1.discovery.k8s.io"} <= set(local)
    assert "v1.apiregistration.k8s.io" not in local
    apps = local["v1.apps"]
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert apps["spec"] == {"group": "apps", "groupPriorityMinimum": 17800, "version": "v1", "versionPriority": 15}
    found = condition(control_plane, "v1.apps")
    assert (found["status"], found["reason"]) == ("True", "Local")
    assert found["message"] == "Local APIServices are always available"
    order = groups(control_plane)
    assert order[:4] == ["apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]
    autoscaling = control_plane.request("GET", "/apis/autoscaling").json
    assert [each["version"] for each in autoscaling["versions"]] == ["v2", "v1"]


def test_conditions_on_the_way_to_available(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    plane = control_plane
    other = base64.b64encode(Authority.create("another").pair.cert_pem).decode()
    create(plane, API.rpartition("/")[0], api_service(namespace, caBundle=other))
    assert wait_reason(plane, "ServiceNotFound")["message"] == f'service/metrics in "{namespace}" is not present'
    answer = plane.request("GET", f"{BASE}/nodes")
    assert (answer.code, answer.body) == (503, b"service unavailable\n")
    shown = plane.kubectl("get", "--raw", f"{BASE}/nodes", check=False)
    assert "the server is currently unable to handle the request" in shown.stderr

    services = f"/api/v1/namespaces/{namespace}/services"
    create(plane, services, service(port=444))
    text = f'service/metrics in "{namespace}" is not listening on port 443'
    assert wait_reason(plane, "ServicePortError")["message"] == text
    spec = {"spec": {"ports": [{"port": 443, "name": "https"}]}}
    assert plane.request("PATCH", f"{services}/metrics", spec, headers=MERGE).code == 200
    text = f'cannot find endpoints for service/metrics in "{namespace}"'
    assert wait_reason(plane, "EndpointsNotFound")["message"] == text
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    create(plane, slices, slice_of(backend.port))
    text = f'endpoints for service/metrics in "{namespace}" have no addresses with port name "https"'
    assert wait_reason(plane, "MissingEndpoints")["message"] == text
    named = {"ports": [{"name": "https", "port": backend.port, "protocol": "TCP"}]}
    assert plane.request("PATCH", f"{slices}/metrics-1", named, headers=MERGE).code == 200
    url = f"https://{ADDRESS}:{backend.port}{BASE}"
    refused = f"dial tcp {ADDRESS}:{backend.port}: connect: connection refused"
    text = f'failing or missing response from {url}: Get "{url}": {refused}'
    assert wait_reason(plane, "FailedDiscoveryCheck")["message"] == text
    backend.start()
    # Whether the server is there is asked whatever its certificate; who sends a request learns that it does not hold.
    assert wait_reason(plane, "Passed")["message"] == "all checks passed"
    wait_until("the certificate is refused", lambda: b"x509" in plane.request("GET", f"{BASE}/nodes").body, looks=2)
    bundle = {"spec": {"caBundle": base64.b64encode(backend.ca).decode()}}
    assert plane.request("PATCH", API, bundle, headers=MERGE).code == 200
    wait_until("it is served", lambda: plane.request("GET", f"{BASE}/nodes").code == 200, looks=2)
    backend.stop()
    assert plane.request("GET", f"{BASE}/nodes").code == 503


def test_requests_carry_the_user(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    serve(control_plane, namespace, backend)
    path = f"{BASE}/namespaces/{namespace}/pods/p/echo"
    sent = {"Content-Type": "text/x", "X-Remote-User": "eve", "X-Remote-Group": "system:masters", "Audit-Id": "a1"}
    sent |= {"Impersonate-User": "jane", "Impersonate-Group": "dev", "Impersonate-Extra-scopes": "a b"}
    control_plane.kubectl(
        "create", "clusterrole", f"echo-{namespace}", "--verb=create", f"--resource=pods.{GROUP}/echo"
    )
    control_plane.kubectl("create", "clusterrole", f"pods-{namespace}", "--verb=create", f"--resource=pods.{GROUP}")
    for role in (f"echo-{namespace}", f"pods-{namespace}"):
        control_plane.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", "--user=jane")
    answer = wait_until(
        "jane may",
        lambda: (got := control_plane.request("POST", f"{path}?x=%2F", b"hello", headers=sent)).code == 200 and got,
    )
    headers = {key.lower(): values for key, values in answer.json["headers"].items()}
    assert (answer.json["method"], answer.json["body"]) == ("POST", "hello")
    assert headers["x-remote-user"] == ["jane"]
    assert headers["x-remote-group"] == ["dev", "system:authenticated"]
    assert headers["x-remote-extra-scopes"] == ["a b"]
    assert headers["audit-id"] == ["a1"] and headers["content-type"] == ["text/x"]
    assert not any(key.startswith("impersonate-") or key == "authorization" for key in headers)
    refused = control_plane.request("GET", f"{BASE}/nodes", headers={"Impersonate-User": "jane"})
    assert refused.code == 403 and "jane" in refused.json["message"]
    away = control_plane.request("GET", f"{BASE}/namespaces/{namespace}/pods/p/away")
    assert away.code == 502 and "location" not in away.headers
    assert control_plane.request("GET", f"{BASE}//nodes").code == 404, "only what was authorized as it is meant"
    assert control_plane.request("GET", BASE, anonymous=True).code == 403


def test_a_failed_upgrade_ends_the_connection(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    serve(control_plane, namespace, backend)
    with contextlib.closing(control_plane.connect(timeout=60)) as connection:
        connection.connect()
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        path = f"{BASE}/namespaces/{namespace}/pods/nothing/away"
        # The second request must reach neither server: nobody has looked at who may ask for it.
        second = "GET /api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n{second}".encode())
        answered = b""
        while more := connection.sock.recv(65536):
            answered += more
    assert answered.startswith(b"HTTP/1.1 502 ") and answered.count(b"HTTP/1.1") == 1


def test_an_answer_comes_as_it_is_written(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    serve(control_plane, namespace, backend)
    with contextlib.closing(control_plane.connect(timeout=60)) as connection:
        connection.request("GET", f"{BASE}/namespaces/{namespace}/pods/p/stream?watch=true")
        answer = connection.getresponse()
        assert [answer.readline() for _ in range(3)] == [b'{"line":%d}\n' % number for number in range(3)]


@pytest.mark.parametrize("modern", [False, True])
def test_discovery_is_one(control_plane: ControlPlane, namespace: str, backend: Backend, modern: bool) -> None:
    plane = control_plane
    serve(plane, namespace, backend, *(["--modern"] if modern else []))
    assert groups(plane)[-1] == GROUP, "the lowest priority stands last"
    found = plane.request("GET", f"/apis/{GROUP}").json
    assert found["preferredVersion"] == {"groupVersion": f"{GROUP}/v1beta1", "version": "v1beta1"}
    assert plane.request("GET", BASE).json["kind"] == "APIResourceList"

    def entry() -> Any:
        answer = plane.request("GET", "/apis", headers=AGGREGATED)
        items = {each["metadata"]["name"]: each["versions"] for each in answer.json["items"]}
        assert "apps" in items and answer.headers["content-type"] == AGGREGATED["Accept"]
        versions = items.get(GROUP) or [{}]
        return versions[0].get("freshness") == "Current" and versions[0]

    resources = wait_until("the aggregated document", entry, looks=2)["resources"]
    assert resources[0]["resource"] == "nodes" and resources[0]["scope"] == "Cluster"
    if not modern:
        assert resources[1]["subresources"][0]["subresource"] == "echo"
    first = plane.request("GET", "/apis", headers=AGGREGATED)
    again = plane.request("GET", "/apis", headers={**AGGREGATED, "If-None-Match": first.headers["etag"]})
    assert again.code == 304
    older = plane.request("GET", "/apis", headers={"Accept": AGGREGATED["Accept"].replace("v=v2", "v=v2beta1")})
    assert older.json["apiVersion"] == "apidiscovery.k8s.io/v2beta1" and "v=v2beta1" in older.headers["content-type"]
    assert GROUP in [each["metadata"]["name"] for each in older.json["items"]]
    assert {BASE, f"/apis/{GROUP}", "/apis/apps/v1"} <= set(plane.request("GET", "/").json["paths"])
    assert f"{GROUP}/v1beta1" in plane.kubectl("api-versions").stdout
    listed = plane.kubectl("api-resources", f"--api-group={GROUP}").stdout
    assert "NodeMetrics" in listed


def test_openapi_is_one(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    plane = control_plane
    serve(plane, namespace, backend)
    index = wait_until(
        "the index",
        lambda: (got := plane.request("GET", "/openapi/v3").json["paths"]) and BASE[1:] in got and got,
        looks=2,
    )
    assert index["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")
    schemas = plane.request("GET", f"/openapi/v3{BASE}").json["components"]["schemas"]
    assert "io.k8s.metrics.NodeMetrics" in schemas

    def swagger() -> Any:
        document = plane.request("GET", "/openapi/v2").json
        return f"{BASE}/nodes" in document["paths"] and document

    document = wait_until("the one document", swagger, looks=2)
    assert {"io.k8s.metrics.NodeMetrics", "io.k8s.api.core.v1.Pod"} <= set(document["definitions"])
    assert "unneeded" not in document["definitions"]
    asked = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    wait_until(
        "the same in protobuf",
        lambda: b"io.k8s.metrics.NodeMetrics" in plane.request("GET", "/openapi/v2", headers=asked).body,
        looks=2,
    )
    assert "How long was measured." in plane.kubectl("explain", "nodes", f"--api-version={GROUP}/v1beta1").stdout


def test_kubectl_top(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    plane = control_plane
    serve(plane, namespace, backend)
    allocatable = {"status": {"allocatable": {"cpu": "1", "memory": "128Mi"}}}
    create(plane, "/api/v1/nodes", {"metadata": {"name": "one"}})
    assert plane.request("PATCH", "/api/v1/nodes/one/status", allocatable, headers=MERGE).code == 200
    try:
        shown = plane.kubectl("top", "nodes").stdout
        assert shown.splitlines()[1].split() == ["one", "250m", "25%", "64Mi", "50%"]
        create(
            plane,
            f"/api/v1/namespaces/{namespace}/pods",
            {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "main", "image": "x"}]}},
        )
        assert plane.kubectl("top", "pods", "-n", namespace).stdout.splitlines()[1].split() == ["one", "250m", "64Mi"]
    finally:
        plane.request("DELETE", "/api/v1/nodes/one")


def test_an_autoscaler_reads_its_metrics(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    """Without the group it says so, with it the target grows to what the usage asks for."""
    plane, labels = control_plane, {"app": "one"}
    requests = {"resources": {"requests": {"memory": "16Mi"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x", **requests}]}}
    pods, sets = f"/api/v1/namespaces/{namespace}/pods", f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    create(plane, pods, {**template, "metadata": {"name": "one", "labels": labels}})
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert plane.request("PATCH", f"{pods}/one/status", running, headers=MERGE).code == 200
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    create(plane, sets, {"metadata": {"name": "web"}, "spec": spec})
    target = {"type": "Utilization", "averageUtilization": 100}
    metrics = [{"type": "Resource", "resource": {"name": "memory", "target": target}}]
    scaled = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"}
    autoscalers = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    wanted = {"scaleTargetRef": scaled, "maxReplicas": 10, "metrics": metrics}
    create(plane, autoscalers, {"metadata": {"name": "web"}, "spec": wanted})

    def said(kind: str, reason: str) -> Any:
        status = plane.request("GET", f"{autoscalers}/web").json.get("status") or {}
        found = [each for each in status.get("conditions") or [] if (each["type"], each["reason"]) == (kind, reason)]
        return found and {**found[0], "of": status}

    failed = wait_until("no metrics", lambda: said("ScalingActive", "FailedGetResourceMetric"))
    assert failed["message"] == (
        "the HPA was unable to compute the replica count: failed to get memory utilization: unable to get metrics for "
        "resource memory: unable to fetch metrics from resource metrics API: the server could not find the requested "
        "resource (get pods.metrics.k8s.io)"
    )
    serve(plane, namespace, backend)
    assert plane.request("PATCH", f"{autoscalers}/web", {"spec": {"maxReplicas": 9}}, headers=MERGE).code == 200
    status = wait_until("scaled", lambda: said("AbleToScale", "SucceededRescale"))["of"]
    assert (status["currentReplicas"], status["desiredReplicas"]) == (1, 4)
    current = {"averageUtilization": 400, "averageValue": "67108864"}
    assert status["currentMetrics"] == [{"type": "Resource", "resource": {"name": "memory", "current": current}}]
    assert plane.request("GET", f"{sets}/web").json["spec"]["replicas"] == 4
    shown = plane.kubectl("get", "hpa", "web", "-n", namespace).stdout
    assert "memory: 400%/100%" in shown


def test_a_namespace_waits_for_a_group_that_is_away(
    control_plane: ControlPlane, namespace: str, backend: Backend
) -> None:
    """What is known goes all the same, and the namespace says what it waits for."""
    plane = control_plane
    create(plane, API.rpartition("/")[0], api_service(namespace, insecureSkipTLSVerify=True))
    wait_reason(plane, "ServiceNotFound")
    path = f"/api/v1/namespaces/{namespace}-going"
    create(plane, "/api/v1/namespaces", {"metadata": {"name": f"{namespace}-going"}})
    create(plane, f"{path}/configmaps", {"metadata": {"name": "content"}})
    assert plane.request("DELETE", path).code == 200

    def said() -> dict[str, Any]:
        found = (plane.request("GET", path).json.get("status") or {}).get("conditions") or []
        return {each["type"]: each for each in found}

    failure = wait_until("it says so", lambda: said().get("NamespaceDeletionDiscoveryFailure"))
    assert (failure["status"], failure["reason"], failure["message"]) == (
        "True",
        "DiscoveryFailed",
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: "
        "metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1",
    )
    assert said()["NamespaceDeletionContentFailure"]["reason"] == "ContentDeleted"
    assert plane.request("GET", f"{path}/configmaps/content").code == 404
    assert plane.request("DELETE", API).code == 200
    wait_until("it is gone", lambda: plane.request("GET", path).code == 404)


def test_a_server_that_is_gone(control_plane: ControlPlane, namespace: str, backend: Backend) -> None:
    plane = control_plane
    serve(plane, namespace, backend)

    def freshness() -> str:
        items = plane.request("GET", "/apis", headers=AGGREGATED).json["items"]
        found = [each["versions"][0]["freshness"] for each in items if each["metadata"]["name"] == GROUP]
        return str(found[0]) if found else ""

    wait_until("a fresh document", lambda: freshness() == "Current", looks=2)
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/metrics-1"
    backend.stop()
    refused = plane.request("GET", f"{BASE}/nodes")
    # The second once the server has found out by itself, which may be at any moment.
    told = (b"error trying to reach service: dial tcp", b"service unavailable")
    assert refused.code == 503 and any(text in refused.body for text in told)
    label = {"metadata": {"labels": {"touched": "yes"}}}
    assert plane.request("PATCH", slices, label, headers=MERGE).code == 200  # looked at now, not in 30 s
    wait_reason(plane, "FailedDiscoveryCheck")
    wait_until("a stale document", lambda: freshness() == "Stale", looks=2)
    assert plane.kubectl("get", "configmaps", "-n", namespace).returncode == 0, "everything else goes on"
    backend.start()
    wait_reason(plane, "Passed")
    wait_until("it is served", lambda: plane.request("GET", f"{BASE}/nodes").code == 200, looks=2)


def test_group_versions_of_crds_are_registered_while_they_are_served(control_plane: ControlPlane) -> None:
    plane, definitions = control_plane, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"openAPIV3Schema": {"type": "object"}}
    names = {"plural": "parrots", "singular": "parrot", "kind": "Parrot", "listKind": "ParrotList"}
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": schema},
        {"name": "v1beta1", "served": True, "storage": False, "schema": schema},
    ]
    spec = {"group": "birds.example.com", "names": names, "scope": "Namespaced", "versions": versions}
    create(plane, definitions, {"metadata": {"name": "parrots.birds.example.com"}, "spec": spec})

    def registered(version: str) -> bool:
        found = plane.request("GET", f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.birds.example.com")
        return found.code == 200 and found.json["metadata"]["labels"] == {
            "kube-aggregator.kubernetes.io/automanaged": "true"
        }

    wait_until("both", lambda: registered("v1") and registered("v1beta1"))
    found = wait_until(
        "the group", lambda: (got := plane.request("GET", "/apis/birds.example.com")).code == 200 and got.json
    )
    assert [each["version"] for each in found["versions"]] == ["v1", "v1beta1"]
    plane.request("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.birds.example.com")
    wait_until("it to come back", lambda: registered("v1"))
    assert plane.request("DELETE", f"{definitions}/parrots.birds.example.com").code == 200
    wait_until("none", lambda: not registered("v1") and not registered("v1beta1"))
    wait_until("the group to go", lambda: "birds.example.com" not in groups(plane))
