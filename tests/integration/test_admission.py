"""Admission as people meet it: stock kubectl, the real server, and what each plug-in says."""

from __future__ import annotations

import base64
import itertools
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.kit.certs import Authority
from tests.integration.apiservers import ApiServer
from tests.integration.process import ControlPlane, free_port, running_etcd, wait_until

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
VIOLATION = (
    'PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "p" must set '
    'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "p" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "p" must set '
    'securityContext.runAsNonRoot=true), seccompProfile (pod or container "p" must set '
    'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


class Kubectl:
    """kubectl in one namespace, for tests that look at what it prints."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane, self._namespace = plane, namespace

    def __call__(self, *argv: str, stdin: str | None = None) -> str:
        return self._run(argv, stdin, check=True).stdout

    def refused(self, *argv: str, stdin: str | None = None) -> str:
        done = self._run(argv, stdin, check=False)
        assert done.returncode != 0, f"not refused: {done.stdout}"
        return done.stderr

    def succeeds(self, *argv: str) -> bool:
        return self._run(argv, None, check=False).returncode == 0

    def warned(self, *argv: str, stdin: str | None = None) -> str:
        return self._run(argv, stdin, check=True).stderr

    def apply(self, *documents: Any) -> str:
        return self("apply", "-f", "-", stdin="".join(f"{orjson.dumps(each).decode()}\n" for each in documents))

    def get(self, *argv: str) -> Any:
        return self._plane.get("-n", self._namespace, *argv)

    def _run(self, argv: tuple[str, ...], stdin: str | None, *, check: bool) -> subprocess.CompletedProcess[str]:
        return self._plane.kubectl("-n", self._namespace, *argv, stdin=stdin, check=check)


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str) -> Kubectl:
    return Kubectl(control_plane, namespace)


def used(kubectl: Kubectl, name: str = "q") -> dict[str, str]:
    found: dict[str, str] = (kubectl.get("quota", name).get("status") or {}).get("used") or {}
    return found


def test_pod_security_enforces_warns_and_looks_at_what_is_there(kubectl: Kubectl, namespace: str) -> None:
    kubectl("run", "p", "--image=nginx", "--privileged")
    warning = kubectl.warned("label", "namespace", namespace, RESTRICTED)
    assert (
        f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "restricted:latest"'
        in warning
    )
    assert "p: privileged, allowPrivilegeEscalation != false, unrestricted capabilities" in warning
    kubectl("delete", "pod", "p", "--now")
    assert f'pods "p" is forbidden: violates {VIOLATION}' in kubectl.refused("run", "p", "--image=nginx")
    template = VIOLATION.replace('"p"', '"nginx"')
    assert f"Warning: would violate {template}" in kubectl.warned("create", "deployment", "web", "--image=nginx")
    assert "must be one of privileged, baseline, restricted" in (
        kubectl.refused("label", "namespace", namespace, "--overwrite", "pod-security.kubernetes.io/warn=strict")
    )


def test_limits_are_filled_in_and_kept(kubectl: Kubectl) -> None:
    limit = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}
    kubectl.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [limit]}})
    wait_until("the limits count", lambda: "cpu" in kubectl("run", "p", "--image=nginx", "--dry-run=server", "-o=yaml"))
    kubectl("run", "p", "--image=nginx")
    (container,) = kubectl.get("pod", "p")["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
    overrides = '{"spec":{"containers":[{"name":"p2","image":"i","resources":{"limits":{"cpu":"2"}}}]}}'
    assert "maximum cpu usage per Container is 1, but limit is 2" in (
        kubectl.refused("run", "p2", "--image=i", f"--overrides={overrides}")
    )


def test_a_quota_is_charged_refuses_and_is_given_back(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "q", "--hard=pods=1,count/configmaps=3,count/deployments.apps=0")
    wait_until("the quota is counted", lambda: used(kubectl).get("count/configmaps") == "1")  # kube-root-ca.crt
    kubectl("create", "configmap", "one")
    assert used(kubectl)["count/configmaps"] == "2"
    kubectl("run", "p", "--image=nginx")
    assert 'pods "p2" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1' in (
        kubectl.refused("run", "p2", "--image=nginx")
    )
    assert "exceeded quota: q, requested: count/deployments.apps=1" in (
        kubectl.refused("create", "deployment", "web", "--image=nginx")
    )
    kubectl("delete", "pod", "p", "--now")
    kubectl("delete", "configmap", "one")
    wait_until("it is given back", lambda: used(kubectl)["pods"] == "0" and used(kubectl)["count/configmaps"] == "1")
    kubectl("run", "p2", "--image=nginx")
    kubectl("create", "quota", "compute", "--hard=cpu=1")
    wait_until("the second is counted", lambda: "cpu" in used(kubectl, "compute"))
    kubectl("delete", "pod", "p2", "--now")
    wait_until("it is given back", lambda: used(kubectl)["pods"] == "0")
    assert "failed quota: compute: must specify cpu for: p3" in kubectl.refused("run", "p3", "--image=nginx")


def test_claims_get_the_default_class_and_stay_while_in_use(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    name = f"default-{kubectl.get('sa', 'default')['metadata']['namespace']}"
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "example.com/none",
    }
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec}
    kubectl.apply(storage_class)
    try:
        body = orjson.dumps(claim).decode()
        wait_until(
            "the class counts",
            lambda: name in kubectl("create", "--dry-run=server", "-o=yaml", "-f", "-", stdin=body),
        )
        kubectl.apply(claim)
        found = kubectl.get("pvc", "c")
        assert found["spec"]["storageClassName"] == name
        assert found["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    finally:
        kubectl("delete", "storageclass", name)
        kubectl("patch", "pvc", "c", "--type=merge", '-p={"metadata":{"finalizers":null}}')


class Webhook:
    """A real HTTPS webhook on loopback, run beside the tests. `asked`: what came; `answer`: what it says."""

    def __init__(self, directory: Path) -> None:
        authority = Authority.create("webhooks")
        pair = authority.issue("webhook", ips=("127.0.0.1",), server=True)
        (directory / "crt").write_bytes(pair.cert_pem)
        (directory / "key").write_bytes(pair.key_pem)
        self.bundle = base64.b64encode(authority.pair.cert_pem).decode()
        self.asked: list[Any] = []
        self.answer: Any = {"allowed": True}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(review["request"])
                response = {"uid": review["request"]["uid"], **outer.answer}
                body = orjson.dumps({**review, "request": None, "response": response})
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "crt", directory / "key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def configuration(self, kind: str, namespace: str, *resources: str, **fields: Any) -> Any:
        """A configuration with one hook for one namespace."""
        hook = {
            "name": f"{namespace}.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self.server.server_port}/x", "caBundle": self.bundle},
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources)}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 5,
            **fields,
        }
        meta = {"name": f"{kind.lower()[:8]}-{namespace}"}
        return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": meta, "webhooks": [hook]}


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Webhook]:
    made = Webhook(tmp_path)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_a_mutating_webhook(kubectl: Kubectl, namespace: str, webhook: Webhook) -> None:
    patch = orjson.dumps([{"op": "add", "path": "/data/from", "value": "webhook"}])
    webhook.answer = {
        "allowed": True,
        "patch": base64.b64encode(patch).decode(),
        "patchType": "JSONPatch",
        "warnings": ["it is watched"],
    }
    configuration = webhook.configuration("MutatingWebhookConfiguration", namespace, "configmaps")
    kubectl.apply(configuration)
    wait_until(
        "the webhook is asked",
        lambda: "from: webhook" in kubectl("create", "cm", "x", "--from-literal=a=b", "--dry-run=server", "-o", "yaml"),
    )
    assert "Warning: it is watched" in kubectl.warned("create", "configmap", "m", "--from-literal=a=b")
    assert kubectl.get("configmap", "m")["data"] == {"a": "b", "from": "webhook"}
    request = webhook.asked[-1]
    assert (request["operation"], request["name"], request["userInfo"]["username"]) == (
        "CREATE",
        "m",
        "kubernetes-admin",
    )
    assert request["options"]["fieldManager"] == "kubectl-create" and request["object"]["data"] == {"a": "b"}
    kubectl("delete", "mutatingwebhookconfiguration", configuration["metadata"]["name"])


def test_a_validating_webhook(kubectl: Kubectl, namespace: str, webhook: Webhook) -> None:
    webhook.answer = {"allowed": False, "status": {"message": "not today", "code": 403, "reason": "Forbidden"}}
    configuration = webhook.configuration(
        "ValidatingWebhookConfiguration", namespace, "configmaps", "pods/exec", "pods/eviction", "deployments/scale"
    )
    kubectl("create", "configmap", "there")
    kubectl("run", "p", "--image=nginx")
    kubectl("create", "deployment", "web", "--image=nginx")
    kubectl.apply(configuration)
    denied = f'admission webhook "{namespace}.example.com" denied the request: not today'
    wait_until(
        "the webhook is asked",
        lambda: not kubectl.succeeds("create", "cm", "x", "--dry-run=server"),
    )
    for argv in (
        ("create", "configmap", "m"),
        ("delete", "configmap", "there"),
        ("exec", "p", "--", "true"),
        ("scale", "deployment", "web", "--replicas=3"),
    ):
        assert denied in kubectl.refused(*argv), argv
        webhook.asked.clear()
    name = configuration["metadata"]["name"]
    hooks = '[{"op":"replace","path":"/webhooks/0/clientConfig/url","value":"https://127.0.0.1:1/x"}]'
    kubectl("patch", "validatingwebhookconfiguration", name, "--type=json", "-p", hooks)
    wait_until(
        "the address has changed",
        lambda: (
            f'failed calling webhook "{namespace}.example.com": failed to call webhook: Post '
            '"https://127.0.0.1:1/x?timeout=5s": dial tcp 127.0.0.1:1: connect: connection refused'
            in kubectl.refused("create", "configmap", "m")
        ),
    )
    kubectl("delete", "validatingwebhookconfiguration", name)
    wait_until("nobody is asked", lambda: kubectl.succeeds("create", "configmap", "m", "--dry-run=server"))


def test_a_policy_with_parameters(kubectl: Kubectl, namespace: str) -> None:
    version = "admissionregistration.k8s.io/v1"
    rule = {
        "operations": ["CREATE", "UPDATE"],
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "resources": ["deployments"],
    }
    policy = {
        "apiVersion": version,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [rule]},
            "variables": [{"name": "most", "expression": "int(params.data.most)"}],
            "validations": [
                {
                    "expression": "object.spec.replicas <= variables.most",
                    "messageExpression": "'at most ' + string(variables.most) + ' replicas'",
                }
            ],
        },
    }
    binding = {
        "apiVersion": version,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {
            "policyName": namespace,
            "validationActions": ["Deny"],
            "paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"},
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
        },
    }
    kubectl("create", "configmap", "limit", "--from-literal=most=2")
    broken = {**policy, "spec": {**policy["spec"], "validations": [{"expression": "object.spec."}]}}
    assert 'spec.validations[0].expression: Invalid value: "object.spec.": compilation failed: ERROR: <input>:1:' in (
        kubectl.refused("create", "-f", "-", stdin=orjson.dumps(broken).decode())
    )
    kubectl.apply(policy, binding)
    wait_until("the policy is seen", lambda: kubectl.get("validatingadmissionpolicy", namespace).get("status"))
    status = kubectl.get("validatingadmissionpolicy", namespace)["status"]
    assert status == {"observedGeneration": 1, "typeChecking": {}}
    create = ("create", "deployment", "web", "--image=nginx", "--replicas=3")
    wait_until("the policy counts", lambda: not kubectl.succeeds(*create, "--dry-run=server"))
    assert f"ValidatingAdmissionPolicy '{namespace}' with binding '{namespace}' denied request: at most 2 replicas" in (
        kubectl.refused(*create)
    )
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    change = '{"spec":{"validationActions":["Warn"]}}'
    kubectl("patch", "validatingadmissionpolicybinding", namespace, "--type=merge", "-p", change)
    wait_until(
        "the binding has changed", lambda: kubectl.succeeds(*create[:2], "other", *create[3:], "--dry-run=server")
    )
    assert f"Warning: Validation failed for ValidatingAdmissionPolicy '{namespace}' with binding" in (
        kubectl.warned(*create[:2], "other", *create[3:])
    )
    kubectl("delete", "validatingadmissionpolicybinding", namespace)
    kubectl("delete", "validatingadmissionpolicy", namespace)


ADMISSION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline}
    exemptions: {namespaces: [exempt]}
"""


def test_two_servers_grant_no_more_than_a_quota_has(tmp_path: Path) -> None:
    """60 clients ask two servers on one etcd for 20 places: 20 are granted. The servers' own defaults hold, too."""
    configuration = tmp_path / "admission.yaml"
    configuration.write_text(ADMISSION)
    more = [
        f"--admission-control-config-file={configuration}",
        "--disable-admission-plugins=ServiceAccount",  # nobody makes accounts here
    ]
    with running_etcd(tmp_path / "etcd") as etcd, ExitStack() as undo:
        servers = [ApiServer(tmp_path / "data", etcd, *more) for _ in range(2)]
        for server in servers:
            server.start()
            undo.callback(server.stop)
        for name in ("full", "exempt"):
            body = {"metadata": {"name": name}}
            assert servers[0].request("POST", "/api/v1/namespaces", body).code == 201
        hard = {"count/configmaps": "20"}
        quotas = "/api/v1/namespaces/full/resourcequotas"
        quota = servers[0].request("POST", quotas, {"metadata": {"name": "q"}, "spec": {"hard": hard}}).json
        quota["status"] = {"hard": hard, "used": {"count/configmaps": "0"}}
        assert servers[0].request("PUT", f"{quotas}/q/status", quota).code == 200

        def create(number: int) -> int:
            body = {"metadata": {"name": f"m-{number}"}}
            return servers[number % 2].request("POST", "/api/v1/namespaces/full/configmaps", body).code

        # The second server hears of the quota by itself; until then a dry run passes whatever is asked.
        full = {**quota, "status": {"hard": hard, "used": hard}, "metadata": {"name": "q", "namespace": "full"}}
        assert servers[0].request("PUT", f"{quotas}/q/status", full).code == 200
        dry = "/api/v1/namespaces/full/configmaps?dryRun=All"
        numbers = itertools.count()
        for server in servers:
            wait_until(
                "the quota is known",
                lambda server=server: (
                    server.request("POST", dry, {"metadata": {"name": f"d-{next(numbers)}"}}).code == 403
                ),
            )
        empty = {**full, "status": {"hard": hard, "used": {"count/configmaps": "0"}}}
        assert servers[0].request("PUT", f"{quotas}/q/status", empty).code == 200
        with ThreadPoolExecutor(20) as pool:
            codes = list(pool.map(create, range(60)))
        assert (codes.count(201), codes.count(403)) == (20, 40)
        assert len(servers[1].request("GET", "/api/v1/namespaces/full/configmaps").json["items"]) == 20
        assert servers[1].request("GET", f"{quotas}/q").json["status"]["used"] == hard

        pod = {"metadata": {"name": "p"}, "spec": {"hostPID": True, "containers": [{"name": "c", "image": "i"}]}}
        refused = servers[1].request("POST", "/api/v1/namespaces/full/pods", pod)
        assert refused.code == 403
        assert 'violates PodSecurity "baseline:latest": host namespaces (hostPID=true)' in refused.json["message"]
        assert servers[1].request("POST", "/api/v1/namespaces/exempt/pods", pod).code == 201


POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, resources: [{group: "", resources: [configmaps]}]}
- {level: Request, resources: [{group: "", resources: [secrets]}]}
- {level: None}
"""


def test_what_admission_did_is_in_the_audit_log(tmp_path: Path, webhook: Webhook) -> None:
    """Annotations of webhooks and of Pod Security; a patch shows only where the object does."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    log = tmp_path / "audit.log"
    flags = [f"--audit-policy-file={tmp_path / 'policy.yaml'}", f"--audit-log-path={log}"]
    server = ApiServer(tmp_path / "data", "sqlite", *flags)
    try:
        server.start()
        assert server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "a"}}).code == 201
        patch = base64.b64encode(
            orjson.dumps([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}])
        ).decode()
        webhook.answer = {"allowed": True, "patch": patch, "patchType": "JSONPatch", "auditAnnotations": {"who": "me"}}
        configuration = webhook.configuration("MutatingWebhookConfiguration", "a", "configmaps", "secrets")
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        assert server.request("POST", path, configuration).code == 201
        numbers = itertools.count()

        def create(plural: str) -> Any:
            name = f"x-{next(numbers)}"
            made = server.request("POST", f"/api/v1/namespaces/a/{plural}", {"metadata": {"name": name}}).json
            return made["metadata"].get("labels")

        wait_until("the webhook is asked", lambda: create("configmaps"))
        assert create("secrets") == {"a": "b"}
    finally:
        server.stop()
    events = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    last = {each["objectRef"]["resource"]: each["annotations"] for each in events if each["verb"] == "create"}
    for noted in last.values():
        assert noted["a.example.com/who"] == "me"
        mutation = orjson.loads(noted["mutation.webhook.admission.k8s.io/round_0_index_0"])
        assert mutation == {"configuration": "mutating-a", "webhook": "a.example.com", "mutated": True}
    key = "patch.webhook.admission.k8s.io/round_0_index_0"
    assert key in last["secrets"] and key not in last["configmaps"]


OPERATOR = """
import kopf

@kopf.on.startup()
def configure(settings, **_):
    files = {"certfile": "DIRECTORY/crt", "pkeyfile": "DIRECTORY/key", "cafile": "DIRECTORY/ca"}
    settings.admission.server = kopf.WebhookServer(addr="127.0.0.1", host="127.0.0.1", port=PORT, **files)
    settings.admission.managed = "NAMESPACE.kopf.dev"

@kopf.on.mutate("configmaps")
def tag(namespace, patch, warnings, **_):
    if namespace == "NAMESPACE":
        patch.metadata.labels["tagged"] = "yes"
        warnings.append("tagged by kopf")

@kopf.on.validate("configmaps", id="no-bad")
def check(namespace, name, **_):
    if (namespace, name) == ("NAMESPACE", "bad"):
        raise kopf.AdmissionError("bad is bad", code=400)
"""


def test_an_operator_of_kopf_admits(
    control_plane: ControlPlane, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    authority = Authority.create("webhooks")
    pair = authority.issue("webhook", ips=("127.0.0.1",), server=True)
    for name, content in (("crt", pair.cert_pem), ("key", pair.key_pem), ("ca", authority.pair.cert_pem)):
        (tmp_path / name).write_bytes(content)
    text = (
        OPERATOR.replace("DIRECTORY", str(tmp_path)).replace("PORT", str(free_port())).replace("NAMESPACE", namespace)
    )
    (tmp_path / "operator.py").write_text(text)
    environment = {**os.environ, "KUBECONFIG": str(control_plane.kubeconfig)}
    argv = [sys.executable, "-m", "kopf", "run", "--all-namespaces", str(tmp_path / "operator.py")]
    with (tmp_path / "log").open("wb") as log:
        operator = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        preview = ("create", "configmap", "preview", "--dry-run=server", "-o", "yaml")
        wait_until("the operator is asked", lambda: "tagged: " in kubectl(*preview))
        assert "Warning: tagged by kopf" in kubectl.warned("create", "configmap", "good")
        assert kubectl.get("configmap", "good")["metadata"]["labels"] == {"tagged": "yes"}
        refused = kubectl.refused("create", "configmap", "bad")
        assert f'admission webhook "no-bad.{namespace}.kopf.dev" denied the request: bad is bad' in refused
    finally:
        operator.terminate()
        code = operator.wait(30)
        for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
            kubectl("delete", kind, f"{namespace}.kopf.dev", "--ignore-not-found")
    assert code == 0, (tmp_path / "log").read_text()
