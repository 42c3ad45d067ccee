"""Stock kubectl: the verbs and modes that test_kubectl.py leaves, and that none is left by all the tests together."""

from __future__ import annotations

import contextlib
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import orjson
import pytest
import yaml

from apimachinery.kit.certs import Authority
from tests.integration.process import ROOT, ControlPlane, kubectl_version, wait_until

Kubectl = Callable[..., str]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: busybox, ports: [{containerPort: 80}]}
"""
SIZE = {"requests": {"storage": "1Gi"}}
PROBE = {"httpGet": {"path": "/", "port": 80}}
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, labels: {set: one}}\ndata: {color: blue}\n"


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str) -> Kubectl:
    """kubectl in the test's namespace; what it printed."""

    def run(*argv: str, stdin: str | None = None, check: bool = True, **environment: str) -> str:
        done = control_plane.kubectl(
            argv[0], "-n", namespace, *argv[1:], stdin=stdin, check=check, environment=environment
        )
        return done.stdout + (done.stderr if not check else "")

    return run


def test_no_verb_is_left() -> None:
    """Each command of `kubectl --help` is driven by some test against our servers."""
    shown = subprocess.run(["kubectl", "--help"], capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", shown, re.MULTILINE))
    assert {"get", "rollout", "top", "config", "version"} <= listed
    tests = [path for path in (ROOT / "tests").rglob("*.py") if "kubectl" in path.read_text()]
    # As the first word of a call, or anywhere in the words of a command line.
    driven = {verb for path in tests for verb in re.findall(r'[(\[,]\s*"([a-z-]+)"', path.read_text())}
    assert listed <= driven, listed - driven


def test_edit(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=SETTINGS)
    assert kubectl("edit", "configmap", "settings", EDITOR="sed -i s/blue/green/") == "configmap/settings edited\n"
    assert kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.color}") == "green"
    unchanged = kubectl("edit", "configmap", "settings", EDITOR="true", check=False)
    assert "Edit cancelled, no changes made." in unchanged
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    wrong = kubectl("edit", "deployment", "web", EDITOR="sed -i s/replicas:.1/replicas:\\ -2/", check=False)
    assert 'error: deployments.apps "web" is invalid' in wrong and "no valid changes were saved" in wrong


def test_the_last_applied_configuration(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=SETTINGS)
    assert "color: blue" in kubectl("apply", "view-last-applied", "configmap/settings")
    kubectl("apply", "edit-last-applied", "configmap/settings", EDITOR="sed -i s/blue/red/")
    assert "color: red" in kubectl("apply", "view-last-applied", "configmap/settings")
    assert kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.color}") == "blue"


def test_apply_prunes_and_reads_kustomizations(kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    other = SETTINGS.replace("name: settings", "name: other")
    kubectl("apply", "-f", "-", stdin=f"{SETTINGS}---\n{other}")
    pruned = ("--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap")
    assert "configmap/other pruned" in kubectl("apply", *pruned, "-f", "-", stdin=SETTINGS)
    by_set = ("apply", "--prune", "--applyset=group", "--server-side", "--force-conflicts", "-f", "-")
    both = f"{SETTINGS.replace('settings', 'first')}---\n{SETTINGS.replace('settings', 'second')}"
    kubectl(*by_set, stdin=both, KUBECTL_APPLYSET="true")
    again = kubectl(*by_set, stdin=SETTINGS.replace("settings", "first"), KUBECTL_APPLYSET="true")
    assert "configmap/second pruned" in again
    (tmp_path / "kustomization.yaml").write_text(
        f"namespace: {namespace}\nnamePrefix: k-\nresources: [settings.yaml]\n"
    )
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    assert "name: k-settings" in kubectl("kustomize", str(tmp_path))
    assert kubectl("apply", "-k", str(tmp_path)) == "configmap/k-settings created\n"
    assert kubectl("diff", "-k", str(tmp_path)) == ""


def test_rollouts(kubectl: Kubectl) -> None:
    def revisions(count: int) -> list[str]:
        def look() -> list[str] | None:
            shown = kubectl("rollout", "history", "deployment/web", check=False)
            found = re.findall(r"^(\d+)", shown, re.MULTILINE)
            return found if len(found) >= count else None

        found: list[str] = wait_until(f"{count} revisions", look)
        return found

    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    revisions(1)
    kubectl("set", "image", "deployment/web", "main=other")
    revisions(2)
    kubectl("rollout", "pause", "deployment/web")
    assert "already paused" in kubectl("rollout", "pause", "deployment/web", check=False)
    assert "cannot rollback a paused deployment" in kubectl("rollout", "undo", "deployment/web", check=False)
    kubectl("rollout", "resume", "deployment/web")
    kubectl("rollout", "restart", "deployment/web")
    assert revisions(3) == ["1", "2", "3"]
    assert re.search(r"Image:\s+busybox\n", kubectl("rollout", "history", "deployment/web", "--revision=1"))
    kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deployment", "web", "-o", image) == "busybox"
    assert "Waiting for deployment" in kubectl("rollout", "status", "deployment/web", "--timeout=3s", check=False)


@pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet"])
def test_rollouts_of_what_has_controller_revisions(kubectl: Kubectl, kind: str) -> None:
    """kubectl finds the present template among the revisions, byte by byte."""
    spec = yaml.safe_load(DEPLOYMENT)["spec"]
    del spec["replicas"]
    pod = spec["template"]["spec"]
    claim = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": SIZE}}
    pod["volumes"] = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": claim}}, {"name": "e", "emptyDir": {}}]
    pod["containers"][0] |= {"env": [{"name": "A", "value": "x y"}], "command": ["sh"], "livenessProbe": PROBE}
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec}
    if kind == "StatefulSet":
        spec["serviceName"] = "web"
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))
    name = f"{kind.lower()}/web"
    history = ("rollout", "history", name)
    wait_until("a revision", lambda: "1 " in kubectl(*history, check=False))
    same = kubectl("rollout", "undo", name, "--to-revision=1", check=False)
    # It compares with bytes of its own: since 1.34 without the times that are none, which a server of 1.32 writes.
    skipped = "skipped rollback (current template already matches revision 1)"
    assert (skipped if kubectl_version() < (1, 34) else "rolled back") in same
    kubectl("set", "image", name, "main=other")
    wait_until("a second revision", lambda: "2 " in kubectl(*history))
    assert "rolled back" in kubectl("rollout", "undo", name)
    wait_until("the first is the newest again", lambda: re.findall(r"^(\d)", kubectl(*history), re.M) == ["2", "3"])


def test_set_changes_one_thing(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl("set", "env", "deployment/web", "A=1", "B=2")
    kubectl("set", "env", "deployment/web", "B-")
    assert kubectl("set", "env", "deployment/web", "--list") == "# Deployment web, container main\nA=1\n"
    kubectl("set", "resources", "deployment/web", "--limits=cpu=200m,memory=512Mi", "--requests=cpu=0.1")
    kubectl("create", "serviceaccount", "robot")
    kubectl("set", "serviceaccount", "deployment/web", "robot")
    pod = orjson.loads(kubectl("get", "deployment", "web", "-o", "json"))["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == pod["serviceAccount"] == "robot"
    assert pod["containers"][0]["resources"] == {
        "limits": {"cpu": "200m", "memory": "512Mi"},
        "requests": {"cpu": "100m"},
    }
    kubectl("expose", "deployment", "web", "--port=80", "--name=front")
    kubectl("set", "selector", "service", "front", "app=other")
    assert kubectl("get", "service", "front", "-o", "jsonpath={.spec.selector}") == '{"app":"other"}'
    kubectl("create", "rolebinding", "viewers", "--clusterrole=view", "--user=ann")
    kubectl("set", "subject", "rolebinding", "viewers", "--group=people")
    kinds = kubectl("get", "rolebinding", "viewers", "-o", "jsonpath={.subjects[*].kind}")
    assert kinds == "User Group"


def test_autoscale(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu-percent=50")
    table = kubectl("get", "hpa").splitlines()
    assert table[0].split() == ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"]
    assert re.split(" {2,}", table[1])[:5] == ["web", "Deployment/web", "cpu: <unknown>/50%", "1", "3"]
    assert "resource cpu on pods" in kubectl("describe", "hpa", "web")


def test_create_makes_every_kind_it_knows(kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    pair = Authority.create("web").issue("web", dns=("web",), server=True)
    (tmp_path / "tls.crt").write_bytes(pair.cert_pem)
    (tmp_path / "tls.key").write_bytes(pair.key_pem)
    (tmp_path / "words").write_text("a=b\n")
    wide = f"wide-{namespace}"
    try:
        for line in (
            f"clusterrole {wide} --verb=get --non-resource-url=/x",
            f"clusterrolebinding {wide} --clusterrole={wide} --user=ann",
            f"configmap files --from-file={tmp_path / 'words'}",
            f"configmap words --from-env-file={tmp_path / 'words'}",
            "cronjob tick --image=busybox --schedule=@hourly -- date",
            "job once --from=cronjob/tick",
            "deployment app --image=nginx --port=80",
            "ingress front --rule=example.com/*=app:80,tls=pair --class=none",
            "poddisruptionbudget app --selector=app=app --max-unavailable=50%",
            "quota limits --hard=pods=20 --scopes=NotTerminating",
            "role reader --verb=get,list --resource=pods,deployments.apps --resource-name=x",
            "rolebinding reader --role=reader --serviceaccount=default:default",
            f"secret tls pair --cert={tmp_path / 'tls.crt'} --key={tmp_path / 'tls.key'}",
            "secret docker-registry pull --docker-server=r.example --docker-username=u --docker-password=p",
            "secret generic plain --from-literal=a=b --type=example.com/mine",
            "service clusterip headless --clusterip=None --tcp=80",
            "service nodeport node --tcp=80:8080",
            "service loadbalancer balanced --tcp=80",
            "service externalname away --external-name=example.com",
            "serviceaccount robot",
        ):
            kubectl("create", *line.split())
        token = kubectl("create", "token", "robot", "--duration=10m", "--audience=example.com").strip()
        assert token.count(".") == 2
        assert kubectl("get", "secret", "pull", "-o", "jsonpath={.type}") == "kubernetes.io/dockerconfigjson"
        assert kubectl("get", "job", "once", "-o", "jsonpath={.metadata.ownerReferences[0].kind}") == "CronJob"
        services = kubectl("get", "services")
        assert "balanced" in services and "<pending>" in services and "None" in services
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", wide, "--ignore-not-found")


def test_run_and_delete(kubectl: Kubectl) -> None:
    kubectl("run", "one", "--image=busybox", "--labels=a=b", "--port=80", "--expose", "--", "sleep", "9")
    assert kubectl("get", "service", "one", "-o", "jsonpath={.spec.selector}") == '{"a":"b"}'
    assert re.match(r'pod "one" deleted .*\(server dry run\)$', kubectl("delete", "pod", "one", "--dry-run=server"))
    kubectl("delete", "pod", "one", "--now")
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    wait_until("a pod", lambda: kubectl("get", "pods", "-l", "app=web", "-o", "name"))
    kubectl("delete", "deployment", "web", "--cascade=orphan")
    assert kubectl("get", "replicasets", "-l", "app=web", "-o", "name")
    kubectl("delete", "replicasets,services", "--all", "--cascade=foreground", "--timeout=120s")
    kubectl("wait", "--for=delete", "pods", "-l", "app=web", "--timeout=120s")
    assert kubectl("replace", "--force", "-f", "-", stdin=SETTINGS) == "configmap/settings replaced\n"


def test_get_in_every_form(kubectl: Kubectl, namespace: str) -> None:
    for number in (2, 1, 3):
        kubectl("create", "configmap", f"c{number}", f"--from-literal=n={number}")
    kubectl("label", "configmap", "c1", "tier=front")
    three = ("get", "configmaps", "--field-selector=metadata.name!=kube-root-ca.crt")
    assert kubectl(*three, "--sort-by={.data.n}", "-o", "name", "--chunk-size=1").split() == [
        "configmap/c1", "configmap/c2", "configmap/c3",
    ]  # fmt: skip
    assert kubectl(*three, "-o", "custom-columns=N:.data.n", "--no-headers").split() == ["1", "2", "3"]
    assert kubectl(*three, "-o", "go-template={{range .items}}{{.data.n}} {{end}}") == "1 2 3 "
    assert kubectl(*three, "-o", "jsonpath={.items[*].data.n}") == "1 2 3"
    assert "TIER" in kubectl(*three, "-L", "tier") and "tier=front" in kubectl(*three, "--show-labels")
    assert kubectl("get", "configmaps", "-A", "-o", "wide").startswith("NAMESPACE")
    raw = orjson.loads(kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/configmaps/c1"))
    assert raw["data"] == {"n": "1"}
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    scale = orjson.loads(kubectl("get", "deployment", "web", "--subresource=scale", "-o", "json"))
    assert scale["kind"] == "Scale" and scale["status"]["selector"] == "app=web"
    kubectl("patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":0}}')
    kubectl("wait", "--for=jsonpath={.spec.replicas}=0", "deployment/web", "--timeout=120s")
    missing = kubectl("get", "configmap", "nobody", check=False)
    assert missing == 'Error from server (NotFound): configmaps "nobody" not found\n'
    assert kubectl("get", "configmap", "nobody", "--ignore-not-found") == ""


def test_labels_and_annotations_are_not_overwritten(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c")
    kubectl("label", "configmap", "c", "a=1")
    refused = kubectl("label", "configmap", "c", "a=2", check=False)
    assert "'a' already has a value (1), and --overwrite is false" in refused
    kubectl("label", "configmap", "c", "a=2", "--overwrite", "--resource-version=1", check=False)
    assert "a=1" in kubectl("label", "configmap", "c", "--list")
    kubectl("annotate", "configmaps", "note=x", "--field-selector=metadata.name=c")
    assert "note=x" in kubectl("annotate", "configmap", "c", "--list")


def test_describe_every_kind_that_there_is(control_plane: ControlPlane) -> None:
    def described() -> str:
        # What other tests have made may be going: a kind, or an object between the list and its description.
        kinds = control_plane.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
        done = control_plane.kubectl("describe", ",".join(sorted(kinds)), "-A", check=False)
        assert done.returncode == 0 or "not found" in done.stderr or "could not find" in done.stderr, done.stderr
        return "" if done.returncode else done.stdout

    shown = wait_until("everything is described", described)
    for words in ("system:controller:job-controller", "kube-root-ca.crt", "system-node-critical", "10.96.0.1"):
        assert words in shown


def test_events(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    said = ("events", "--for", "deployment/web", "--types=Normal")
    found = wait_until("an event", lambda: "ScalingReplicaSet" in (text := kubectl(*said)) and text)
    assert found.splitlines()[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert "ScalingReplicaSet" in kubectl("describe", "deployment", "web")
    assert kubectl("events", "--types=Warning", "--for", "deployment/web", check=False).startswith("No events found")


def test_roles_are_reconciled(kubectl: Kubectl, namespace: str) -> None:
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n"
    role += f"metadata: {{name: r, namespace: {namespace}}}\nrules:\n"
    first, second = (role + f"- {{apiGroups: [''], resources: [{what}], verbs: [get]}}\n" for what in ("pods", "nodes"))
    kubectl("auth", "reconcile", "-f", "-", stdin=first)
    kubectl("auth", "reconcile", "-f", "-", stdin=second)
    assert kubectl("get", "role", "r", "-o", "jsonpath={.rules[*].resources[*]}") == "pods nodes"
    kubectl("auth", "reconcile", "--remove-extra-permissions", "-f", "-", stdin=second)
    assert kubectl("get", "role", "r", "-o", "jsonpath={.rules[*].resources[*]}") == "nodes"
    assert "pods.metrics.k8s.io" not in kubectl("auth", "can-i", "--list")
    assert kubectl("auth", "can-i", "get", "/metrics", "--as=nobody", check=False).endswith("no\n")


def test_certificates_are_approved_and_denied(kubectl: Kubectl, namespace: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    text = b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    for verb, name in (("approve", f"yes-{namespace}"), ("deny", f"no-{namespace}")):
        body = (
            "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\n"
            f"metadata: {{name: {name}}}\nspec:\n  request: {text}\n"
            "  signerName: kubernetes.io/kube-apiserver-client\n  usages: [client auth]\n"
        )
        kubectl("create", "-f", "-", stdin=body)
        kubectl("certificate", verb, name)
    wait_until("it is issued", lambda: "Approved,Issued" in kubectl("get", "csr", f"yes-{namespace}"))
    assert kubectl("get", "csr", f"no-{namespace}").splitlines()[1].split()[-1] == "Denied"
    kubectl("delete", "csr", f"yes-{namespace}", f"no-{namespace}")


def test_a_node_is_drained(control_plane: ControlPlane, kubectl: Kubectl, namespace: str) -> None:
    node = f"node-{namespace}"
    control_plane.kubectl("create", "-f", "-", stdin=f"apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n")
    try:
        pod = (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {nodeName: %s, containers: [{name: c, image: i}]}\n"
        )
        kubectl("create", "-f", "-", stdin=pod % ("alone", node))
        refused = kubectl("drain", node, check=False)
        assert "cannot delete Pods that declare no controller" in refused and "SchedulingDisabled" in kubectl(
            "get", "node", node
        )
        kubectl("create", "pdb", "guard", "--selector=a=b", "--min-available=1")
        kubectl("label", "pod", "alone", "a=b")
        running = '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
        kubectl("patch", "pod", "alone", "--subresource=status", "-p", running)
        wait_until(
            "the budget counts",
            lambda: kubectl("get", "pdb", "guard", "-o", "jsonpath={.status.currentHealthy}") == "1",
        )
        guarded = kubectl("drain", node, "--force", "--grace-period=0", "--timeout=5s", check=False)
        assert "Cannot evict pod as it would violate the pod's disruption budget" in guarded
        kubectl("delete", "pdb", "guard")
        drained = kubectl("drain", node, "--force", "--grace-period=0", "--timeout=120s")
        assert f"node/{node} drained" in drained and kubectl("get", "pods", "-o", "name") == ""
        kubectl("taint", "node", node, "a=b:NoExecute")
        kubectl("taint", "node", node, "a-")
        kubectl("uncordon", node)
        assert "SchedulingDisabled" not in kubectl("get", "node", node)
    finally:
        control_plane.kubectl("delete", "node", node)


@contextlib.contextmanager
def proxying(control_plane: ControlPlane) -> Iterator[int]:
    argv = ["kubectl", "--kubeconfig", str(control_plane.kubeconfig), "proxy", "--port=0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield int(line.rpartition(":")[2])
        finally:
            process.terminate()


def test_proxy(control_plane: ControlPlane, namespace: str) -> None:
    with proxying(control_plane) as port, contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as http:
        http.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        answer = http.getresponse()
        assert answer.status == 200 and orjson.loads(answer.read())["metadata"]["name"] == "default"
        http.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts?watch=1&timeoutSeconds=1")
        assert orjson.loads(http.getresponse().read().splitlines()[0])["type"] == "ADDED"


def test_what_the_cluster_is(control_plane: ControlPlane, kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    assert "Kubernetes control plane" in kubectl("cluster-info")
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl("cluster-info", "dump", f"--namespaces={namespace}", f"--output-directory={tmp_path}")
    dumped = orjson.loads((tmp_path / namespace / "deployments.json").read_bytes())
    assert [item["metadata"]["name"] for item in dumped["items"]] == ["web"]
    assert "Server Version: v1.32" in kubectl("version")
    assert "complete -o default -F __start_kubectl kubectl" in kubectl("completion", "bash")
    assert "unable to find any kubectl plugins" in control_plane.kubectl("plugin", "list", check=False).stderr
