"""``controlPlane: service``: API server, scheduler and controllers in one unit beside etcd's, and no static pod.

The tests build on each other, in the order of the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from provisioner import lifecycle
from provisioner.home import LabHome, find_home
from provisioner.progress import make_progress
from provisioner.specfile import parse_lab
from tests.netns.lab.leftovers import footprint, leftovers
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

LAB = """
name: asservice
driver: netns
workers: 1
network: 192.168.76.0/24
podCIDR: 10.76.0.0/16
serviceCIDR: 10.176.0.0/20
controlPlane: service
metricsServer: false
"""
UNITS = ("etcd", "kubelab-control-plane")


@pytest.fixture(scope="module")
def place() -> Iterator[LabHome]:
    """The lab's home; whatever the tests do, the lab is destroyed."""
    place = LabHome(find_home(), "asservice")
    lifecycle.destroy(place, parse_lab(LAB))  # of a run that was killed
    yield place
    lifecycle.destroy(place, parse_lab(LAB))


@pytest.fixture(scope="module")
def cluster(place: LabHome) -> Cluster:
    lifecycle.bring_up(parse_lab(LAB), find_home(), lambda steps: make_progress(steps, as_json=False))
    return Cluster(place)


def _process(cluster: Cluster, unit: str) -> int | None:
    found = re.search(r"main PID (\d+)", cluster.on(cluster.lab.machines[0], f"systemctl status {unit}"))
    return int(found[1]) if found else None


def test_the_control_plane_is_two_units(cluster: Cluster) -> None:
    cluster.wait_nodes_ready()
    for unit in UNITS:
        assert _process(cluster, unit), unit
    pods = cluster.get("pods", "-n", "kube-system")["items"]
    assert {pod["metadata"]["labels"].get("k8s-app") for pod in pods} == {"kube-dns"}


def test_a_service_answers(cluster: Cluster) -> None:
    cluster.kubectl("create", "deployment", "web", "--image=nginx", "--port=80")
    cluster.kubectl("expose", "deployment", "web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    address = cluster.get("service", "web")["spec"]["clusterIP"]
    for machine in cluster.lab.machines:
        until(machine.name, lambda m=machine: cluster.on(m, f"curl -sS -m 3 http://{address}"))  # type: ignore[misc]


@pytest.mark.parametrize("unit", UNITS)
def test_a_killed_unit_comes_back_and_harms_no_pod(cluster: Cluster, unit: str) -> None:
    def containers() -> list[str]:
        return [each["containerID"] for pod in cluster.pods("app=web") for each in pod["status"]["containerStatuses"]]

    running, pid = containers(), _process(cluster, unit)
    assert pid is not None
    os.kill(pid, 9)
    until(f"{unit} runs again", lambda: _process(cluster, unit) not in (None, pid))
    until("the API answers", lambda: cluster.try_kubectl("get", "--raw", "/readyz").stdout == "ok")
    until("it schedules again", lambda: cluster.try_kubectl("scale", "deployment/web", "--replicas=2").returncode == 0)
    until("two pods", lambda: cluster.ready_pods("app=web", 2))
    cluster.kubectl("scale", "deployment/web", "--replicas=1")
    until("one pod", lambda: len(cluster.pods("app=web")) == 1)
    assert set(containers()) <= set(running)


def test_nothing_is_left(cluster: Cluster) -> None:
    before = footprint(cluster.lab)
    lifecycle.destroy(cluster.place)
    assert leftovers(cluster.lab, cluster.place, before) == []
