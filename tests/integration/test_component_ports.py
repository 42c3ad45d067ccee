"""The ports of the scheduler and the controller manager: health for all, the rest for whom the API server lets."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from apimachinery.kit import tls
from apimachinery.kit.certs import Authority
from tests.integration.apiservers import ApiServer
from tests.integration.ports import free_port
from tests.integration.process import ROOT, Answer, wait_until

COMPONENTS = {"scheduler": "scheduler.conf", "controllers": "controller-manager.conf"}
HEALTH = ("/healthz", "/livez", "/readyz")


class Cluster:
    """An API server, and both components as processes of their own."""

    def __init__(self, directory: Path) -> None:
        self.api = ApiServer(directory / "data", "sqlite")
        self.pki = self.api.directory / "pki"
        self.ports = {name: free_port() for name in COMPONENTS}
        self.log = directory / "components.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, component: str, *more: str) -> None:
        conf, port = self.api.directory / COMPONENTS[component], self.ports[component]
        argv = [sys.executable, "-m", f"controlplane.{component}", f"--kubeconfig={conf}", f"--secure-port={port}"]
        argv += ["--bind-address=127.0.0.1", "--leader-elect=false"]
        argv += [f"--authentication-kubeconfig={conf}", f"--authorization-kubeconfig={conf}", *more]
        with self.log.open("ab") as log:
            self._processes.append(subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log))
        wait_until(f"{component} serves", lambda: self._serves(component))

    def _serves(self, component: str) -> bool:
        assert self._processes[-1].poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return self.ask(component, "/healthz").code == 200
        return False

    def ask(
        self, component: str, path: str, context: ssl.SSLContext | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request, on a connection of its own; without a certificate but that of `context`."""
        shown = context or tls.unverified_client_context()
        connection = HTTPSConnection("127.0.0.1", self.ports[component], context=shown, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def client(self, name: str, *groups: str, authority: str = "ca") -> ssl.SSLContext:
        """One who shows a new certificate of that authority."""
        signer = Authority.load(self.pki / f"{authority}.crt", self.pki / f"{authority}.key")
        base = self.pki / f"test-{authority}-{name}"
        pair = signer.issue(name, orgs=groups, client=True)
        base.with_suffix(".crt").write_bytes(pair.cert_pem)
        base.with_suffix(".key").write_bytes(pair.key_pem)
        return tls.unverified_client_context(base.with_suffix(".crt"), base.with_suffix(".key"))

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(120)
        if self.api.alive:
            self.api.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("ports"))
    cluster.api.start()
    try:
        for component in COMPONENTS:
            cluster.run(component)
        admin = cluster.client("admin", "system:masters")
        for component in COMPONENTS:  # from when on certificates are asked for is not known outside
            served = partial(cluster.ask, component, "/metrics", admin)
            wait_until("the authorities are known", lambda served=served: served().code == 200)
        yield cluster
    finally:
        cluster.stop()


def as_bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_metrics_are_for_whom_the_api_server_lets(cluster: Cluster, component: str) -> None:
    admin = cluster.client("admin", "system:masters")
    found = cluster.ask(component, "/metrics", admin)
    assert found.code == 200
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4") and b"# TYPE " in found.body
    assert b'git_version="v1.32.0+kubelab"' in found.body and b'minor="32"' in found.body
    assert "server" not in found.headers, "answers do not name the program, as upstream's"
    shown = cluster.ask(component, "/configz", admin)
    assert shown.code == 200 and b'"LeaderElection": {"LeaderElect": false' in shown.body

    for path in ("/metrics", "/configz", "/debug/loops", "/nothing", "/healthz/ping"):
        refused = cluster.ask(component, path)
        assert (refused.code, refused.json) == (
            403,
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": f'forbidden: User "system:anonymous" cannot get path "{path}"',
                "reason": "Forbidden",
                "details": {},
                "code": 403,
            },
        ), path
    unknown = cluster.ask(component, "/metrics", headers=as_bearer("nonsense"))
    assert (unknown.code, unknown.json["reason"], unknown.json["message"]) == (401, "Unauthorized", "Unauthorized")
    assert [cluster.ask(component, path).body for path in HEALTH] == [b"ok"] * 3


def test_health_names_its_checks(cluster: Cluster) -> None:
    admin = cluster.client("admin", "system:masters")
    assert cluster.ask("scheduler", "/healthz?verbose").body == b"[+]ping ok\nhealthz check passed\n"
    assert cluster.ask("scheduler", "/readyz?verbose").body == (
        b"[+]shutdown ok\n[+]sched-handler-sync ok\nreadyz check passed\n"
    )
    told = cluster.ask("controllers", "/healthz?verbose&exclude=ttl-controller&exclude=other").body.decode()
    lines = told.splitlines()
    assert "[+]deployment-controller ok" in lines and "[+]ttl-controller excluded: ok" in lines
    assert lines[-2:] == [
        'warn: some health checks cannot be excluded: no matches for "other"',
        "healthz check passed",
    ]
    assert cluster.ask("controllers", "/healthz/ttl-controller", admin).body == b"ok"
    slis = cluster.ask("controllers", "/metrics/slis", admin).body.decode()
    assert 'kubernetes_healthcheck{name="deployment-controller",type="healthz"} 1.0' in slis
    assert cluster.ask("controllers", "/metrics/slis").code == 403


def test_the_scheduler_tells_what_pods_ask_for(cluster: Cluster) -> None:
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "2"}}
    pod = {"metadata": {"name": "asks"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}
    # A pod needs its account, which the controllers may not have made yet.
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    assert cluster.api.request("POST", accounts, {"metadata": {"name": "default"}}).code in (201, 409)
    assert cluster.api.request("POST", "/api/v1/namespaces/default/pods", pod).code == 201
    about = 'namespace="default",node="",pod="asks",priority="0",resource="cpu"'
    about += ',scheduler="default-scheduler",unit="cores"'
    admin = cluster.client("admin", "system:masters")

    def told() -> bool:
        text = cluster.ask("scheduler", "/metrics/resources", admin).body.decode()
        return f"kube_pod_resource_request{{{about}}} 0.1\n" in text and f"_limit{{{about}}} 2.0\n" in text

    wait_until("the scheduler has heard of the pod", told)
    assert cluster.ask("scheduler", "/metrics/resources").code == 403


def test_rbac_decides(cluster: Cluster) -> None:
    api = cluster.api
    accounts = "/api/v1/namespaces/kube-public/serviceaccounts"
    assert api.request("POST", accounts, {"metadata": {"name": "scraper"}}).code == 201
    token = api.request("POST", f"{accounts}/scraper/token", {"spec": {}}).json["status"]["token"]
    name = "system:serviceaccount:kube-public:scraper"
    refused = cluster.ask("scheduler", "/metrics", headers=as_bearer(token))
    assert (refused.code, refused.json["message"]) == (403, f'forbidden: User "{name}" cannot get path "/metrics"')

    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rule = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    assert api.request("POST", f"{rbac}/clusterroles", {"metadata": {"name": "scrapes"}, "rules": [rule]}).code == 201
    binding = {
        "metadata": {"name": "scrapes"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scrapes"},
        "subjects": [
            {"kind": "ServiceAccount", "namespace": "kube-public", "name": "scraper"},
            {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "scrapers"},
        ],
    }
    assert api.request("POST", f"{rbac}/clusterrolebindings", binding).code == 201
    allowed = wait_until("answers are not kept for long", lambda: _answered(cluster, token))
    assert b"# TYPE " in allowed.body
    assert cluster.ask("scheduler", "/configz", headers=as_bearer(token)).code == 403
    assert cluster.ask("scheduler", "/metrics", cluster.client("ann", "scrapers")).code == 200
    assert cluster.ask("scheduler", "/metrics", cluster.client("ben", "others")).code == 403


def _answered(cluster: Cluster, token: str) -> Answer | None:
    answer = cluster.ask("scheduler", "/metrics", headers=as_bearer(token))
    return answer if answer.code == 200 else None


def test_a_certificate_of_nobodys_authority_proves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    pair = Authority.create("kubernetes").issue("admin", orgs=("system:masters",), client=True)
    (tmp_path / "crt").write_bytes(pair.cert_pem)
    (tmp_path / "key").write_bytes(pair.key_pem)
    foreign = tls.unverified_client_context(tmp_path / "crt", tmp_path / "key")
    refused = cluster.ask("scheduler", "/metrics", foreign)
    assert (refused.code, refused.json["message"]) == (401, "Unauthorized")
    admin = cluster.api.request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    token = admin.json["status"]["token"]
    beside = cluster.ask("scheduler", "/metrics", foreign, as_bearer(token))
    assert beside.code == 403, "a token counts all the same"


def test_only_the_front_proxy_names_others(cluster: Cluster) -> None:
    named = {"X-Remote-User": "eve", "X-Remote-Group": "system:masters"}
    assert cluster.ask("scheduler", "/metrics", headers=named).code == 403
    proxy = cluster.client("front-proxy-client", authority="front-proxy-ca")
    assert cluster.ask("scheduler", "/metrics", proxy, named).code == 200
    assert cluster.ask("scheduler", "/metrics", proxy).code == 401, "a certificate that names nobody"
    for false in ("front-proxy-client", "zoe"):
        refused = cluster.ask("scheduler", "/metrics", cluster.client(false), named)
        assert (refused.code, refused.json["message"]) == (
            403,
            f'forbidden: User "{false}" cannot get path "/metrics"',
        ), "the cluster's authority makes no front proxies"
    other = cluster.client("admin", "system:masters", authority="front-proxy-ca")
    assert cluster.ask("scheduler", "/metrics", other, named).code == 401, "nor the front proxy's users"


def test_without_an_api_server_only_health_is_told(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.api.argv()  # makes the certificates; nobody listens
    try:
        cluster.run("scheduler", "--authorization-always-allow-paths=/healthz,/conf*")
        refused = cluster.ask("scheduler", "/metrics")
        assert refused.code == 500 and refused.body.startswith(b'Internal Server Error: "/metrics": ')
        assert cluster.ask("scheduler", "/metrics", headers=as_bearer("any")).code == 401
        assert cluster.ask("scheduler", "/configz").code == 200
        assert cluster.ask("scheduler", "/livez").code == 500, "not among the paths of the flag"
    finally:
        cluster.stop()
