"""Admission as people meet it: stock kubectl, the real server, and what each plug-in says."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from tests.integration.admitting import Kubectl
from tests.integration.apiservers import ApiServer
from tests.integration.process import ControlPlane, running_etcd, wait_until

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
VIOLATION = (
    'PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "p" must set '
    'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "p" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "p" must set '
    'securityContext.runAsNonRoot=true), seccompProfile (pod or container "p" must set '
    'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


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
    wait_until("it is charged", lambda: used(kubectl)["count/configmaps"] == "2")
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
