"""Admission as people meet it: stock kubectl, the real server, and what each plug-in says."""

from __future__ import annotations

import subprocess
from typing import Any

import orjson
import pytest

from tests.integration.process import ControlPlane, wait_until

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

    def warned(self, *argv: str, stdin: str | None = None) -> str:
        return self._run(argv, stdin, check=True).stderr

    def apply(self, *documents: Any) -> str:
        return self("apply", "-f", "-", stdin="---\n".join(orjson.dumps(each).decode() + "\n" for each in documents))

    def get(self, *argv: str) -> Any:
        return self._plane.get(*argv, "-n", self._namespace)

    def _run(self, argv: tuple[str, ...], stdin: str | None, *, check: bool) -> subprocess.CompletedProcess[str]:
        return self._plane.kubectl(*argv, "-n", self._namespace, stdin=stdin, check=check)


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
