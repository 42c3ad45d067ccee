"""Webhooks and policies as people meet them: stock kubectl, kopf, the audit log."""

from __future__ import annotations

import base64
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.kit.certs import Authority
from tests.integration.admitting import Kubectl, Webhook
from tests.integration.apiservers import ApiServer
from tests.integration.ports import free_port
from tests.integration.process import ControlPlane, wait_until


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str) -> Kubectl:
    return Kubectl(control_plane, namespace)


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Webhook]:
    with Webhook(tmp_path).serving() as made:
        yield made


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


def test_who_changes_an_object_sees_no_generated_name(kubectl: Kubectl, namespace: str, webhook: Webhook) -> None:
    webhook.answer = {"allowed": True}
    configuration = webhook.configuration("MutatingWebhookConfiguration", namespace, "configmaps")
    kubectl.apply(configuration)
    meta = {"generateName": "m-", "namespace": namespace}
    text = orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}).decode()
    wait_until("the webhook is asked", lambda: kubectl.attempt("create", "-f", "-", stdin=text) and webhook.asked)
    request = webhook.asked[-1]
    assert "name" not in request and not {"name", "uid", "creationTimestamp"} & request["object"]["metadata"].keys()
    kubectl("delete", "mutatingwebhookconfiguration", configuration["metadata"]["name"])
    spec = {"serviceAccountName": "gone", "containers": [{"name": "c", "image": "i"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "generateName": "web-"}, "spec": spec}
    assert (
        f'pods "web-" is forbidden: error looking up service account {namespace}/gone: serviceaccount "gone" not found'
    ) in kubectl.refused("create", "-f", "-", stdin=orjson.dumps(pod).decode())


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


def test_a_webhook_is_asked_about_reviews(kubectl: Kubectl, namespace: str, webhook: Webhook) -> None:
    webhook.answer = {"allowed": False, "status": {"message": "ask nobody", "code": 403, "reason": "Forbidden"}}
    body = webhook.configuration("ValidatingWebhookConfiguration", namespace, "localsubjectaccessreviews")
    kubectl.apply(body)
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": namespace},
        "spec": {"user": "ann", "resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "pods"}},
    }
    text = orjson.dumps(review).decode()

    def told() -> str | None:
        said = kubectl.attempt("create", "-f", "-", stdin=text)
        return said if "denied the request" in said else None

    wait_until("the webhook is asked", told)
    assert "denied the request: ask nobody" in kubectl.refused("create", "-f", "-", stdin=text)
    assert webhook.asked[-1]["object"]["spec"]["user"] == "ann" and webhook.asked[-1]["operation"] == "CREATE"
    kubectl("delete", "validatingwebhookconfiguration", body["metadata"]["name"])


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
        code = operator.wait(60)
        for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
            kubectl("delete", kind, f"{namespace}.kopf.dev", "--ignore-not-found")
    assert code == 0, (tmp_path / "log").read_text()
