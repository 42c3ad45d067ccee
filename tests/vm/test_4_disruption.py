"""Power: the master off, a worker off, every machine rebooted. Last, because they take the lab apart for a while."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from provisioner.spec import Machine
from tests.vm.cluster import Cluster, condition
from tests.vm.waiting import until

pytestmark = pytest.mark.disruptive

APP = "app=steady"
BOOT = 300.0
#: Node lifecycle: 40 s until a silent Node is unreachable, then the pods' toleration of 300 s; shortened below.
TOLERATION = 10


@pytest.fixture(scope="module", autouse=True)
def steady(cluster: Cluster) -> Iterator[None]:
    """A Deployment whose pods leave an unreachable node after seconds instead of five minutes."""
    tolerations = [
        {
            "key": f"node.kubernetes.io/{why}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": TOLERATION,
        }
        for why in ("unreachable", "not-ready")
    ]
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "steady"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "steady"}},
            "template": {
                "metadata": {"labels": {"app": "steady"}},
                "spec": {"tolerations": tolerations, "containers": [{"name": "nginx", "image": "nginx"}]},
            },
        },
    }
    _clean(cluster)
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    cluster.kubectl("expose", "deployment", "steady", "--port=80")
    until("two steady pods", lambda: cluster.ready_pods(APP, 2), BOOT)
    yield
    _clean(cluster)


def _clean(cluster: Cluster) -> None:
    cluster.kubectl("delete", "deployment/steady", "service/steady", "--ignore-not-found", "--timeout=120s")


def _power_on(cluster: Cluster, machine: Machine) -> None:
    cluster.driver.start(machine)
    cluster.driver.connect(machine, BOOT).close()


def test_master_off_leaves_pods_and_services_working(cluster: Cluster) -> None:
    address = cluster.get("service", "steady")["spec"]["clusterIP"]
    before = {pod["metadata"]["uid"]: pod["status"]["podIP"] for pod in cluster.pods(APP)}
    cluster.driver.power_off(cluster.lab.master)
    try:
        for machine in cluster.workers:
            for target in (address, *before.values()):
                assert "nginx" in cluster.on(machine, f"curl -fsS --max-time 10 http://{target}/")
        if cluster.lab.shared_ip:
            until("another master answers", lambda: cluster.try_kubectl("get", "--raw", "/readyz").stdout == "ok")
    finally:
        _power_on(cluster, cluster.lab.master)
    cluster.wait_nodes_ready()
    assert {pod["metadata"]["uid"] for pod in cluster.pods(APP)} == set(before), "the pods were replaced"


def test_worker_off_moves_its_pods(cluster: Cluster) -> None:
    lost = cluster.lab.machine(cluster.pods(APP)[0]["spec"]["nodeName"])
    cluster.driver.power_off(lost)
    try:

        def moved() -> bool:
            pods = [pod for pod in cluster.pods(APP) if condition(pod, "Ready") == "True"]
            places = {pod["spec"]["nodeName"] for pod in pods}
            assert len(pods) == 2 and lost.name not in places, f"{len(pods)} Ready on {places}"
            return True

        if len(cluster.workers) > 1:
            until(f"two pods run away from {lost.name}", moved, 240)
        until(f"{lost.name} is lost", lambda: condition(cluster.get("node", lost.name), "Ready") == "Unknown")
    finally:
        _power_on(cluster, lost)
    cluster.wait_nodes_ready()


def test_reboot(cluster: Cluster, machine: Machine) -> None:
    before = cluster.on(machine, "systemctl is-active kubelet")
    assert before == "active"
    boot = cluster.get("node", machine.name)["status"]["nodeInfo"]["bootID"]
    cluster.driver.halt(machine)
    _power_on(cluster, machine)
    cluster.wait_nodes_ready()
    # A Node stays Ready in the API for as long as a silent one may be: that it is says nothing about the units.
    for unit in ("containerd", "kubelet", "kube-proxy"):
        until(
            f"{unit} of {machine.name} is active",
            lambda unit=unit: cluster.on(machine, f"systemctl is-active {unit}") == "active",
            120,
        )
    if cluster.lab.driver == "libvirt":
        until(
            "the Node reports the new boot",
            lambda: cluster.get("node", machine.name)["status"]["nodeInfo"]["bootID"] != boot,
            60,
        )


def test_everything_works_again(cluster: Cluster) -> None:
    until("two steady pods", lambda: cluster.ready_pods(APP, 2), BOOT)
    address = cluster.get("service", "steady")["spec"]["clusterIP"]
    for machine in cluster.lab.machines:
        until(
            f"the Service answers on {machine.name}",
            lambda machine=machine: "nginx" in cluster.on(machine, f"curl -fsS --max-time 10 http://{address}/"),
            90,
        )
