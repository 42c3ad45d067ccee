"""`kubelab trace`: from the request to the binding, through every component, of what really happened."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.process import ROOT, ControlPlane, wait_until

BOXES = "/debug/components"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    plane = ControlPlane(tmp_path_factory.mktemp("trace") / "data", "sqlite")
    plane.start()
    for component in ("kube-scheduler", "kube-controller-manager"):
        path = f"{BOXES}/{component}/loops"
        wait_until("it leads", lambda path=path: plane.request("GET", path).json.get("leading"))
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}}
    assert plane.request("POST", "/api/v1/nodes", node).code == 201
    status = {"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "9"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    assert plane.request("PATCH", "/api/v1/nodes/worker-1/status", status, headers=headers).code == 200
    yield plane
    assert plane.stop() == 0, plane.log


def trace(plane: ControlPlane, *words: str, code: int = 0) -> str:
    argv = [sys.executable, "-m", "provisioner", "trace", *words, "--kubeconfig", str(plane.kubeconfig)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def steps_of(plane: ControlPlane, *words: str) -> list[Any]:
    found: list[Any] = json.loads(trace(plane, *words, "--json"))["steps"]
    return found


def deployment(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": "nginx"}
    spec = {"tolerations": [{"operator": "Exists"}], "containers": [container]}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def test_from_the_request_to_the_binding(plane: ControlPlane) -> None:
    headers = {"User-Agent": "a-test/1", "Audit-Id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert plane.request("POST", path, deployment("web"), headers=headers).code == 201

    def bound() -> list[Any]:
        steps = steps_of(plane, "deployment", "web")
        pods = [s for s in steps if s["what"] == "heard" and s["thing"]["resource"] == "pods"]
        binds = [s for s in steps if s["what"] == "request" and s["detail"]["subresource"] == "binding"]
        return steps if binds and len(pods) >= 2 else []

    steps = wait_until("the pod is bound, and that is heard of", bound)
    first = steps[0]
    assert (first["what"], first["depth"], first["where"]) == ("request", 0, "kube-apiserver")
    assert (first["detail"]["agent"], first["detail"]["audit"]) == ("a-test/1", headers["Audit-Id"])
    assert (first["detail"]["user"], first["detail"]["verb"]) == ("kubernetes-admin", "create")
    assert [each["round"] for each in first["detail"]["admission"]] == ["mutating", "validating"]
    assert "ResourceQuota" in first["detail"]["admission"][1]["plugins"]
    pod = next(s for s in steps if s["what"] == "request" and s["thing"]["resource"] == "pods")
    changes = pod["detail"]["admission"][0]["changes"]
    assert ["ServiceAccount", "spec.serviceAccountName: default"] in changes
    assert ["Priority", "spec.priority: 0"] in changes

    def position(what: str, resource: str, **detail: str) -> tuple[int, Any]:
        for number, step in enumerate(steps):
            same = all(step["detail"].get(key) == value for key, value in detail.items())
            if step["what"] == what and step["thing"]["resource"] == resource and same:
                return number, step
        raise AssertionError(f"no {what} of {resource} {detail} in {json.dumps(steps, indent=1)}")

    chain = [
        position("request", "deployments.apps", verb="create"),
        position("heard", "deployments.apps"),
        position("reconciled", "deployment-controller"),
        position("request", "replicasets.apps", verb="create"),
        position("reconciled", "replicaset-controller"),
        position("request", "pods", verb="create"),
        position("reconciled", "scheduler", result="worker-1"),
        position("request", "pods", subresource="binding"),
    ]
    assert [number for number, _ in chain] == sorted(number for number, _ in chain)
    depths = [step["depth"] for _, step in chain if step["what"] == "request"]
    assert depths == sorted(depths)
    assert depths[-1] == 3
    assert chain[-1][1]["detail"]["user"] == "system:kube-scheduler"
    cause = chain[6][1]["detail"]["causes"][0]
    assert cause[:2] == ["pods", chain[5][1]["thing"]["key"]]


def test_a_pod_is_traced_back_to_who_wanted_it(plane: ControlPlane) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert plane.request("POST", path, deployment("back")).code == 201
    pod = wait_until("a pod", lambda: plane.get("pods", "-l", "app=back")["items"])[0]["metadata"]["name"]
    steps = wait_until("it is remembered", lambda: steps_of(plane, "pod", pod))
    first = steps[0]
    assert (first["what"], first["thing"]["resource"], first["thing"]["key"]) == (
        "request",
        "deployments.apps",
        "default/back",
    )
    shown = trace(plane, f"pod/{pod}")
    assert f"system:serviceaccount:kube-system:replicaset-controller creates pods default/{pod} @" in shown
    assert "kubernetes-admin" in shown.splitlines()[1]
    assert "admission, validating: NamespaceLifecycle, " in shown


def test_what_was_refused_is_remembered_with_who_refused_it(plane: ControlPlane) -> None:
    assert plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "tight"}}).code == 201
    plane.kubectl("create", "quota", "none", "--hard=configmaps=0", "-n", "tight")
    document = {"metadata": {"name": "big"}}
    path = "/api/v1/namespaces/tight/configmaps"

    def refused() -> bool:
        return plane.request("POST", path, document).code == 403  # the plug-in has heard of the quota

    wait_until("the quota holds", refused)
    shown = trace(plane, "configmap", "big", "-n", "tight")
    assert "creates configmaps tight/big  refused (403)" in shown
    assert 'admission, validating: refused by ResourceQuota: configmaps "big" is forbidden: exceeded quota' in shown
    assert plane.request("POST", path, {"metadata": {"name": "Not_a_name"}}).code == 422
    assert 'refused: ConfigMap "Not_a_name" is invalid' in trace(plane, "configmap", "Not_a_name", "-n", "tight")


def test_what_nobody_remembers(plane: ControlPlane) -> None:
    assert "nothing is remembered of configmap no-such" in trace(plane, "configmap", "no-such", code=1)
    assert "doesn't have a resource type" in trace(plane, "nonsense", "x", code=2)
    assert "the name of an object is missing" in trace(plane, "pod", code=2)


def test_a_dry_run_and_a_rehearsal_leave_no_trace(plane: ControlPlane) -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tried"}}
    path = "/api/v1/namespaces/default/configmaps"
    assert plane.request("POST", f"{path}?dryRun=All", document).code == 201
    assert "nothing is remembered" in trace(plane, "configmap", "tried", code=1)
    assert plane.request("POST", path, document).code == 201
    assert [step["detail"]["user"] for step in steps_of(plane, "cm", "tried") if step["what"] == "request"] == [
        "kubernetes-admin"
    ]


def test_a_group_whose_own_server_is_away_is_not_asked_twice(plane: ControlPlane) -> None:
    """Such as metrics.k8s.io, while metrics-server starts."""
    path = "/api/v1/namespaces/default/configmaps"
    assert plane.request("POST", path, {"metadata": {"name": "kept"}}).code == 201
    spec = {
        "group": "away.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "default", "name": "nobody"},
    }
    made = {"metadata": {"name": "v1.away.example.com"}, "spec": spec}
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    assert plane.request("POST", services, made).code == 201
    wait_until("it is away", lambda: plane.request("GET", "/apis/away.example.com/v1").code == 503)
    assert steps_of(plane, "configmap", "kept")
    assert "doesn't have a resource type" in trace(plane, "strange", "x", code=2)
