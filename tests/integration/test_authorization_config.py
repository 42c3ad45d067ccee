"""--authorization-config: several webhooks beside a running API server, and a file that changes under it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import ROOT, wait_until
from tests.integration.reviewer import Reviewer

PODS = "/api/v1/namespaces/default/pods"
NODES = "/api/v1/nodes"
BOTH = [{"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}]


class Configured(ApiServer):
    """With --authorization-config in the place of --authorization-mode."""

    def argv(self) -> list[str]:
        return [word for word in super().argv() if not word.startswith("--authorization-mode")]


class Scene:
    """A server, two webhooks and the file that names them."""

    def __init__(self, directory: Path, first: Reviewer, second: Reviewer) -> None:
        self.file, self.first, self.second = directory / "authorization.json", first, second
        self._files = {
            "first": first.kubeconfig(directory / "first.kubeconfig"),
            "second": second.kubeconfig(directory / "second.kubeconfig"),
        }
        self.server = Configured(directory / "data", "sqlite", f"--authorization-config={self.file}")

    def hook(self, which: str, name: str, *conditions: str, **more: Any) -> Any:
        webhook = {
            "timeout": "10s",
            "subjectAccessReviewVersion": "v1",
            "matchConditionSubjectAccessReviewVersion": "v1",
            "failurePolicy": "NoOpinion",
            "unauthorizedTTL": "1ms",
            "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(self._files[which])},
            "matchConditions": [{"expression": each} for each in conditions],
            **more,
        }
        return {"type": "Webhook", "name": name, "webhook": webhook}

    def write(self, *authorizers: Any, text: str = "") -> None:
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
        made = self.file.with_suffix(".new")
        made.write_bytes(text.encode() or orjson.dumps({**head, "authorizers": list(authorizers)}))
        made.rename(self.file)

    def code(self, path: str, user: str) -> int:
        return self.server.request("GET", path, headers={"Impersonate-User": user}).code

    def rules(self, user: str, group: str = "devs") -> Any:
        """The status of a SelfSubjectRulesReview."""
        headers = {"Impersonate-User": user, "Impersonate-Group": group}
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        answer = self.server.request("POST", path, {"spec": {"namespace": "default"}}, headers=headers)
        assert answer.code == 201 and answer.json["spec"] == {}
        return answer.json["status"]

    def counts(self, metric: str, *labels: str) -> float:
        text = self.server.request("GET", "/metrics").body.decode()
        rows = [row for row in text.splitlines() if row.startswith(f"apiserver_authorization_{metric}{{")]
        return sum(float(row.rpartition(" ")[2]) for row in rows if all(label in row for label in labels))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with Reviewer(tmp_path / "one").serving() as first, Reviewer(tmp_path / "two").serving() as second:
        made = Scene(tmp_path, first, second)
        in_default = "has(request.resourceAttributes) && request.resourceAttributes.namespace == 'default'"
        people = "!request.user.startsWith('system:') && request.user != 'kubernetes-admin'"
        made.write(
            made.hook("first", "pods.example.com", in_default, people),
            *BOTH,
            made.hook("second", "rest.example.com", people, authorizedTTL="1h", subjectAccessReviewVersion="v1beta1"),
        )
        made.server.start()
        yield made
        assert made.server.stop() == 0, made.server.log


def test_several_webhooks_and_their_conditions(scene: Scene) -> None:
    first, second = scene.first, scene.second
    first.verdict = {"jane": {"allowed": True}, "eve": {"denied": True, "reason": "never"}}
    second.verdict = {"joe": {"allowed": True}, "eve": {"allowed": True}}
    assert scene.code(PODS, "jane") == 200 and not second.asked
    assert first.asked[-1]["spec"]["user"] == "jane" and "kubernetes-admin" not in str(first.asked)
    assert scene.code(PODS, "joe") == 200 and len(first.asked) == 2
    assert second.asked[-1]["apiVersion"] == "authorization.k8s.io/v1beta1"
    before = len(first.asked)
    assert (scene.code(NODES, "joe"), scene.code(NODES, "jane")) == (200, 403)
    assert len(first.asked) == before, "nodes are no business of the first"
    assert scene.code(PODS, "eve") == 403 and scene.code(NODES, "eve") == 200
    asked = len(second.asked)
    assert scene.code(NODES, "joe") == 200 and len(second.asked) == asked, "what is allowed holds for an hour"
    assert scene.counts("decisions_total", 'name="pods.example.com"', 'decision="denied"') == 1
    assert scene.counts("decisions_total", 'name="rest.example.com"', 'decision="allowed"', 'type="Webhook"') == 4
    assert scene.counts("decisions_total", 'name="rbac"', 'decision="allowed"') > 0
    assert scene.counts("match_condition_exclusions_total", 'name="pods.example.com"') >= 3
    assert scene.counts("webhook_evaluations_total", 'name="pods.example.com"', 'result="success"') == len(first.asked)


def test_failures_follow_the_policy_and_the_file_may_change(scene: Scene) -> None:
    first, second = scene.first, scene.second
    second.verdict = {"joe": {"allowed": True}}
    first.code = 403
    assert scene.code(PODS, "joe") == 200, "left to the next"
    assert scene.counts("webhook_evaluations_fail_open_total", 'name="pods.example.com"') == 1

    scene.write(scene.hook("first", "strict", "request.user == 'joe'", failurePolicy="Deny"), *BOTH)
    wait_until("the new file counts", lambda: scene.code(PODS, "joe") == 500)
    assert scene.counts("config_controller_automatic_reloads_total", 'status="success"') == 1
    assert scene.code(PODS, "jane") == 403, "not one that it is asked about"

    scene.write(text="kind: AuthorizationConfiguration")
    wait_until(
        "the wrong file is told",
        lambda: scene.counts("config_controller_automatic_reloads_total", 'status="failure"') == 1,
    )
    scene.write(*BOTH[:1])
    wait_until("the poor file is told", lambda: "missing required types: [RBAC]" in scene.server.log)
    assert scene.code(PODS, "joe") == 500, "as before"

    first.code, first.verdict = 200, {"joe": {"allowed": True}}
    assert scene.code(PODS, "joe") == 200
    scene.write(*BOTH)
    wait_until("nobody is asked any more", lambda: scene.code(PODS, "joe") == 403)
    rules = scene.rules("joe")
    assert not rules["incomplete"] and rules["resourceRules"] and "evaluationError" not in rules


def test_the_rules_that_somebody_has(scene: Scene) -> None:
    """What `kubectl auth can-i --list` shows."""
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    rules = scene.rules("joe")
    assert rules["incomplete"] and everything not in rules["resourceRules"]
    assert rules["evaluationError"] == "webhook authorizer does not support user rule resolution"
    scene.write(*BOTH, {"type": "AlwaysAllow", "name": "alwaysallow"})
    wait_until("the new file counts", lambda: everything in scene.rules("joe")["resourceRules"])
    rules = scene.rules("joe")
    assert not rules["incomplete"] and {"verbs": ["*"], "nonResourceURLs": ["*"]} in rules["nonResourceRules"]
    rules = scene.rules("system:node:a", "system:nodes")
    assert rules["evaluationError"] == "node authorizer does not support user rule resolution"
    assert everything in rules["resourceRules"], "what is known is told all the same"


def test_a_wrong_file_is_told_whole(tmp_path: Path) -> None:
    file = tmp_path / "authorization.yaml"
    file.write_text(
        "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthorizationConfiguration\nauthorizers:\n"
        "- {type: Webhook, name: A!, webhook: {matchConditions: [{expression: request.usr == ''}]}}\n"
    )
    argv = Configured(
        tmp_path / "data", "sqlite", f"--authorization-config={file}", "--authorization-webhook-version=v1"
    )
    done = subprocess.run(argv.argv(), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    for part in (
        "--authorization-config: can not be specified when",
        'authorizers[0].name: Invalid value: "A!": authorizer name is invalid: ',
        "authorizers[0].timeout: Required value",
        "authorizers[0].subjectAccessReviewVersion: Required value",
        "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions",
        "authorizers[0].failurePolicy: Required value",
        "authorizers[0].connectionInfo.type: Required value",
        "undefined field 'usr'",
    ):
        assert part in done.stderr


def test_policies_in_a_file(tmp_path: Path) -> None:
    """ABAC, beside the other authorizers."""
    file, policies = tmp_path / "authorization.json", tmp_path / "policies"
    head = {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy"}
    spec = {"user": "jane", "readonly": True, "apiGroup": "", "resource": "pods", "namespace": "default"}
    policies.write_bytes(b"# of one\n" + orjson.dumps({**head, "spec": spec}) + b'\n{"user": "joe"}\n')
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    file.write_bytes(orjson.dumps({**kind, "authorizers": [*BOTH, {"type": "ABAC", "name": "abac"}]}))
    flags = [f"--authorization-config={file}", f"--authorization-policy-file={policies}"]
    server = Configured(tmp_path / "data", "sqlite", *flags)
    server.start()

    def code(method: str, path: str, user: str) -> int:
        return server.request(method, path, headers={"Impersonate-User": user}).code

    assert (code("GET", PODS, "jane"), code("GET", NODES, "jane"), code("DELETE", PODS, "jane")) == (200, 403, 403)
    assert (code("GET", NODES, "joe"), code("GET", "/metrics", "joe"), code("GET", NODES, "eve")) == (200, 200, 403)
    refused = server.request("GET", NODES, headers={"Impersonate-User": "eve"})
    assert refused.json["message"].endswith("at the cluster scope: No policy matched.")
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    told = server.request("POST", path, {"spec": {"namespace": "default"}}, headers={"Impersonate-User": "jane"}).json
    rule = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}
    assert rule in told["status"]["resourceRules"]
    assert server.stop() == 0, server.log
