"""Stock kubectl against the one-process control plane."""

from __future__ import annotations

import subprocess

import pytest

from tests.integration.process import ControlPlane, wait_until

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: applied}
spec:
  replicas: 2
  selector: {matchLabels: {app: applied}}
  template:
    metadata: {labels: {app: applied}}
    spec:
      containers:
      - {name: main, image: busybox, ports: [{containerPort: 80}]}
"""


def test_the_example_journey(control_plane: ControlPlane, namespace: str) -> None:
    def kubectl(*argv: str) -> str:
        return control_plane.kubectl(*argv, "-n", namespace).stdout

    assert kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3", "--port=80") == (
        "deployment.apps/web created\n"
    )
    assert kubectl("expose", "deployment", "web", "--type=NodePort") == "service/web exposed\n"
    wait_until("three pods", lambda: len(control_plane.get("pods", "-n", namespace)["items"]) == 3)
    service = control_plane.get("service", "web", "-n", namespace)["spec"]
    assert service["type"] == "NodePort" and 30000 <= service["ports"][0]["nodePort"] <= 32767
    assert service["clusterIP"].startswith(("10.9", "10.10", "10.11"))
    assert service["selector"] == {"app": "web"} and service["ports"][0]["targetPort"] == 80
    listing = kubectl("get", "all", "-o", "wide")
    for word in (
        "pod/web-",
        "service/web",
        "deployment.apps/web",
        "replicaset.apps/web-",
        "UP-TO-DATE",
        "NOMINATED NODE",
    ):
        assert word in listing
    waiting = control_plane.kubectl("rollout", "status", "deployment/web", "--timeout=3s", "-n", namespace, check=False)
    assert "Waiting for deployment" in waiting.stdout
    wait_until("events", lambda: "ScalingReplicaSet" in kubectl("get", "events"))
    assert "Scaled up replica set" in kubectl("describe", "deployment", "web")
    kubectl("scale", "deployment", "web", "--replicas=1")
    wait_until("one pod", lambda: len(control_plane.get("pods", "-n", namespace)["items"]) == 1)
    kubectl("delete", "deployment,service", "web")
    wait_until("no pods", lambda: not control_plane.get("pods", "-n", namespace)["items"])


@pytest.mark.parametrize("mode", [(), ("--server-side",)], ids=["client side", "server side"])
def test_apply_is_repeatable(control_plane: ControlPlane, namespace: str, mode: tuple[str, ...]) -> None:
    def apply(manifest: str) -> str:
        return control_plane.kubectl("apply", *mode, "-n", namespace, "-f", "-", stdin=manifest).stdout

    apply(MANIFEST)
    before = control_plane.get("configmap", "settings", "-n", namespace)["metadata"]["resourceVersion"]
    second = apply(MANIFEST)
    assert "unchanged" in second or mode
    assert control_plane.get("configmap", "settings", "-n", namespace)["metadata"]["resourceVersion"] == before
    apply(MANIFEST.replace("{color: blue}", "{shape: round}"))
    assert control_plane.get("configmap", "settings", "-n", namespace)["data"] == {"shape": "round"}
    difference = control_plane.kubectl("diff", "-n", namespace, "-f", "-", stdin=MANIFEST, check=False)
    assert difference.returncode == 1 and "color: blue" in difference.stdout


def test_appliers_own_their_fields(control_plane: ControlPlane, namespace: str) -> None:
    def apply(manager: str, data: str, *more: str, check: bool = True) -> str:
        manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shared}}\ndata: {data}\n"
        argv = ["apply", "--server-side", f"--field-manager={manager}", *more, "-n", namespace, "-f", "-"]
        done = control_plane.kubectl(*argv, stdin=manifest, check=check)
        return done.stdout + done.stderr

    apply("one", "{a: old, b: old}")
    apply("two", "{c: new}")
    refused = apply("two", "{a: new, c: new}", check=False)
    assert 'conflict with "one"' in refused and ".data.a" in refused
    apply("two", "{a: new, c: new}", "--force-conflicts")
    apply("one", "{b: old}")
    found = control_plane.get("configmap", "shared", "-n", namespace)["data"]
    assert found == {"a": "new", "b": "old", "c": "new"}, "a belongs to the other one now"
    apply("two", "{a: new}")
    assert control_plane.get("configmap", "shared", "-n", namespace)["data"] == {"a": "new", "b": "old"}


def test_every_verb_owns_what_it_changes(control_plane: ControlPlane, namespace: str) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {a: applied, b: applied}\n"

    def server_side(*more: str, text: str = manifest) -> subprocess.CompletedProcess[str]:
        argv = ["apply", "--server-side", "-n", namespace, "-f", "-", *more]
        return control_plane.kubectl(*argv, stdin=text, check=False)

    control_plane.kubectl("create", "configmap", "shared", "--from-literal=a=1", "-n", namespace)
    change = ["patch", "configmap", "shared", "--type=merge", "-n", namespace, "--field-manager=kubectl-edit"]
    control_plane.kubectl(*change, "-p", '{"data":{"b":"1"}}')
    both = server_side()
    assert both.returncode == 1 and "Apply failed with 2 conflicts: conflicts with" in both.stderr
    one = server_side(text=manifest.replace("a: applied, ", "a: '1', "))
    assert 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.b' in one.stderr
    assert server_side("--force-conflicts").returncode == 0
    shown = control_plane.get("configmap", "shared", "-n", namespace, "--show-managed-fields")["metadata"]
    owned = {entry["manager"]: entry["fieldsV1"]["f:data"] for entry in shown["managedFields"]}
    assert owned == {"kubectl": {"f:a": {}, "f:b": {}}, "kubectl-create": {}}, (
        "who added the map owns it, and nothing in it"
    )


def test_from_client_side_to_server_side_apply(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST)
    changed = MANIFEST.replace("{color: blue}", "{shape: round}")
    done = control_plane.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=changed, check=False)
    assert done.returncode == 0, done.stderr
    assert control_plane.get("configmap", "settings", "-n", namespace)["data"] == {"shape": "round"}


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"new"}]}}}}'),
        ("merge", '{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"new"}]}}}}'),
        ("json", '[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"new"}]'),
    ],
)
def test_patches(control_plane: ControlPlane, namespace: str, kind: str, patch: str) -> None:
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST)
    control_plane.kubectl("patch", "deployment", "applied", "-n", namespace, f"--type={kind}", "-p", patch)
    found = control_plane.get("deployment", "applied", "-n", namespace)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "new" and found["metadata"]["generation"] == 2
    assert ("ports" in container) is (kind != "merge"), "a merge patch replaces a list"


def test_labels_selectors_and_fields(control_plane: ControlPlane, namespace: str) -> None:
    def names(*argv: str) -> list[str]:
        return control_plane.kubectl("get", "configmaps", "-n", namespace, "-o", "name", *argv).stdout.split()

    for name in ("one", "two"):
        control_plane.kubectl("create", "configmap", name, "-n", namespace)
    control_plane.kubectl("label", "configmap", "one", "tier=front", "-n", namespace)
    control_plane.kubectl("annotate", "configmap", "one", "note=x", "-n", namespace)
    assert names("-l", "tier=front") == ["configmap/one"]
    assert "configmap/one" not in names("-l", "tier!=front")
    assert names("--field-selector", "metadata.name=two") == ["configmap/two"]
    control_plane.kubectl("label", "configmap", "one", "tier-", "-n", namespace)
    assert names("-l", "tier") == []


def test_identity_and_permission(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    assert "kubernetes-admin" in kubectl("auth", "whoami").stdout
    kubectl("create", "serviceaccount", "robot", "-n", namespace)
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods", "-n", namespace)
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:robot", "-n", namespace)
    token = kubectl("create", "token", "robot", "-n", namespace).stdout.strip()
    user = f"system:serviceaccount:{namespace}:robot"
    wait_until(
        "the binding counts",
        lambda: kubectl("auth", "can-i", "get", "pods", "-n", namespace, "--as", user, check=False).stdout == "yes\n",
    )
    assert kubectl("auth", "can-i", "delete", "pods", "-n", namespace, "--as", user, check=False).stdout == "no\n"
    bearer = {"Authorization": f"Bearer {token}"}
    answer = control_plane.request("GET", f"/api/v1/namespaces/{namespace}/pods", headers=bearer, anonymous=True)
    assert answer.code == 200
    answer = control_plane.request("GET", f"/api/v1/namespaces/{namespace}/secrets", headers=bearer, anonymous=True)
    assert answer.code == 403
    assert answer.json["message"] == (
        f'secrets is forbidden: User "{user}" cannot list resource "secrets" in API group "" in the namespace '
        f'"{namespace}"'
    )
    kubectl("delete", "serviceaccount", "robot", "-n", namespace)
    wait_until(
        "the token ends with its account",
        lambda: control_plane.request("GET", "/api", headers=bearer, anonymous=True).code == 401,
    )


def test_nobody_grants_more_than_they_hold(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    kubectl("create", "rolebinding", "owner", "--clusterrole=admin", "--user=carol", "-n", namespace)
    argv = ["create", "role", "greedy", "--verb=create", "--resource=certificatesigningrequests.certificates.k8s.io"]
    refused = wait_until(
        "carol may create roles",
        lambda: (
            (done := kubectl(*argv, "-n", namespace, "--as=carol", check=False))
            and "attempting to grant" in done.stderr
            and done
        ),
    )
    assert "RBAC permissions not currently held" in refused.stderr
    kubectl("create", "role", "modest", "--verb=get", "--resource=pods", "-n", namespace, "--as=carol")


def test_a_namespace_ends_with_all_that_is_in_it(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST)
    control_plane.kubectl("create", "secret", "generic", "s", "--from-literal=a=b", "-n", namespace)
    control_plane.kubectl("delete", "namespace", namespace, "--timeout=120s")
    answer = control_plane.request("GET", f"/api/v1/namespaces/{namespace}/secrets")
    assert answer.json["items"] == []
    refused = control_plane.kubectl("create", "configmap", "late", "-n", namespace, check=False)
    assert f'namespaces "{namespace}" not found' in refused.stderr
    immortal = control_plane.kubectl("delete", "namespace", "default", check=False)
    assert "this namespace may not be deleted" in immortal.stderr


def test_every_kind_can_be_made_listed_and_deleted(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    commands = [
        ["secret", "generic", "x", "--from-literal=a=b"],
        ["serviceaccount", "x"],
        ["quota", "x", "--hard=pods=3"],
        ["job", "x", "--image=busybox"],
        ["cronjob", "x", "--image=busybox", "--schedule=0 0 29 2 *"],
        ["ingress", "x", "--rule=example.com/path=service:80"],
        ["poddisruptionbudget", "x", "--selector=app=web", "--min-available=1"],
        ["service", "clusterip", "x", "--tcp=80:8080"],
        ["service", "externalname", "y", "--external-name=example.com"],
    ]
    for command in commands:
        kubectl("create", *command, "-n", namespace)
    kubectl("create", "priorityclass", f"class-{namespace}", "--value=10")
    kubectl("delete", "priorityclass", f"class-{namespace}")
    kinds = "secret,serviceaccount,quota,job,cronjob,ingress,pdb,service"
    listing = kubectl("get", kinds, "-n", namespace).stdout
    assert listing.count("/x") == 8 and "service/y" in listing and "example.com" in listing
    kubectl("delete", "job,cronjob,ingress,pdb,quota", "x", "-n", namespace)

    def everything() -> bool:
        # A kind that another test has defined may be going.
        names = kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
        assert len(names) > 45
        done = kubectl("get", ",".join(names), "-A", check=False)
        assert done.returncode == 0 or "could not find" in done.stderr, done.stderr
        return done.returncode == 0

    wait_until("everything is listed", everything)


def test_explain_and_discovery(control_plane: ControlPlane) -> None:
    kubectl = control_plane.kubectl
    assert "FIELDS:" in kubectl("explain", "deployment.spec.strategy").stdout
    assert "apps/v1" in kubectl("api-versions").stdout.split()
    table = kubectl("api-resources", "-o", "wide").stdout
    assert "deployments" in table and "deploy" in table and "deletecollection" in table
    assert "Server Version: v1.32" in kubectl("version").stdout


def test_dry_run_and_strict_fields(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    made = kubectl("run", "one", "--image=busybox", "--dry-run=server", "-o", "yaml", "-n", namespace).stdout
    assert "kube-api-access-" in made and "serviceAccountName: default" in made and "qosClass: BestEffort" in made
    assert control_plane.get("pods", "-n", namespace)["items"] == []
    wrong = MANIFEST.partition("---")[2].replace("replicas: 2", "replicas: 2\n  replica: 3")
    refused = kubectl("create", "-n", namespace, "-f", "-", stdin=wrong, check=False)
    assert 'strict decoding error: unknown field "spec.replica"' in refused.stderr
    warned = kubectl("create", "--validate=warn", "-n", namespace, "-f", "-", stdin=wrong)
    assert 'Warning: unknown field "spec.replica"' in warned.stderr


def test_wait_and_watch(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    kubectl("create", "configmap", "gone", "-n", namespace)
    kubectl("delete", "configmap", "gone", "-n", namespace)
    kubectl("wait", "--for=delete", "configmap/gone", "-n", namespace, "--timeout=120s")
    kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST)
    kubectl("wait", "--for=condition=Progressing", "deployment/applied", "-n", namespace, "--timeout=120s")


def test_replace_edit_and_rollback(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    kubectl("apply", "-n", namespace, "-f", "-", stdin=MANIFEST)
    kubectl("set", "image", "deployment/applied", "main=other", "-n", namespace)
    wait_until(
        "a second revision", lambda: "2 " in kubectl("rollout", "history", "deployment/applied", "-n", namespace).stdout
    )
    kubectl("rollout", "undo", "deployment/applied", "-n", namespace)
    found = control_plane.get("deployment", "applied", "-n", namespace)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "busybox"
    changed = MANIFEST.replace("replicas: 2", "replicas: 1")
    assert "replaced" in kubectl("replace", "-n", namespace, "-f", "-", stdin=changed).stdout
    stale = control_plane.get("configmap", "settings", "-n", namespace)
    kubectl("label", "configmap", "settings", "a=b", "-n", namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings"
    answer = control_plane.request("PUT", path, stale)
    assert answer.code == 409 and "the object has been modified" in answer.json["message"]


def test_cordon_and_taint(control_plane: ControlPlane) -> None:
    kubectl = control_plane.kubectl
    node = "apiVersion: v1\nkind: Node\nmetadata: {name: paper}\n"
    kubectl("create", "-f", "-", stdin=node)
    try:
        kubectl("cordon", "paper")
        assert "SchedulingDisabled" in kubectl("get", "node", "paper").stdout
        kubectl("uncordon", "paper")
        kubectl("taint", "node", "paper", "a=b:NoSchedule")
        assert {"key": "a", "value": "b", "effect": "NoSchedule"} in control_plane.get("node", "paper")["spec"][
            "taints"
        ]
    finally:
        kubectl("delete", "node", "paper")
