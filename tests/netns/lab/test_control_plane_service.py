"""``controlPlane: service``: API server, scheduler and controllers in one unit beside etcd's, and no static pod.

The tests build on each other, in the order of the file.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator

import pytest

from provisioner import lifecycle
from provisioner.errors import StepFailed
from provisioner.home import LabHome
from provisioner.specfile import parse_lab
from tests.netns.lab.labs import bring_up, home_of
from tests.netns.lab.leftovers import footprint, leftovers
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

LAB = parse_lab(
    """
name: asservice
driver: netns
workers: 1
network: 192.168.76.0/24
podCIDR: 10.76.0.0/16
serviceCIDR: 10.176.0.0/20
controlPlane: service
metricsServer: false
"""
)
UNITS = ("etcd", "kubelab-control-plane")
STUB = """
stub.test:53 {
    hosts {
        192.0.2.44 a.stub.test
    }
}
"""


@pytest.fixture(scope="module")
def place() -> Iterator[LabHome]:
    with home_of(LAB) as place:
        yield place


@pytest.fixture(scope="module")
def cluster(place: LabHome) -> Cluster:
    bring_up(LAB)
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
        until(machine.name, lambda m=machine: cluster.on(m, f"curl -sS -m 3 http://{address}"))


def test_cluster_dns_is_broken_and_mended_by_its_config_map(cluster: Cluster) -> None:
    web = cluster.get("service", "web")["spec"]["clusterIP"]
    cluster.kubectl("run", "client", "--image=busybox", "--command", "--", "sleep", "9999")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
    pods = ("-n", "kube-system", "-l", "k8s-app=kube-dns")
    corefile = cluster.get("configmap", "coredns", "-n", "kube-system")["data"]["Corefile"]

    def write(text: str) -> None:
        patch = json.dumps({"data": {"Corefile": text}})
        cluster.kubectl("patch", "configmap", "coredns", "-n", "kube-system", "--type=merge", "-p", patch)

    def look_again() -> None:
        # A change of the pod has its node look at its volumes at once, instead of once a minute; the first such change
        # may be heard before that of the map.
        cluster.kubectl("annotate", "pods", *pods, f"test/look={next(looks)}", "--overwrite")

    def told(name: str) -> str:
        look_again()
        return cluster.try_kubectl("exec", "client", "--", "nslookup", name).stdout

    def complains() -> bool:
        look_again()
        return "Unknown directive 'cahce'" in cluster.kubectl("logs", *pods, "--tail=-1")

    looks = itertools.count()
    write(corefile.replace("cache 30", "cahce 30"))
    until("the complaint", complains, pause=3)
    until("what it knew", lambda: web in told("web.default.svc.cluster.local"))
    write(corefile + STUB)
    until("a name of the new block", lambda: "192.0.2.44" in told("a.stub.test"), pause=3)
    until("a name of the cluster", lambda: web in told("web.default.svc.cluster.local"))
    write(corefile)
    cluster.kubectl("delete", "pod", "client", "--grace-period=1")


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


def test_a_taken_port_is_named_and_up_continues_once_it_is_free(cluster: Cluster) -> None:
    master = cluster.lab.master
    cluster.on(master, "systemctl stop kubelab-control-plane")
    holder = cluster.on(master, "python3 -m http.server 6443 >/dev/null 2>&1 & echo $!").strip()
    try:
        until("the port is taken", lambda: f"pid={holder}," in cluster.on(master, "ss -Hltnp sport = :6443"))
        cluster.on(master, "systemctl start kubelab-control-plane")
        with pytest.raises(StepFailed, match=r"kubelab-control-plane ended .* times") as failed:
            bring_up(LAB)
        assert (failed.value.scope, failed.value.step) == (master.name, "api")
        assert any("6443" in line and "address already in use" in line for line in failed.value.console)
        assert "kubelab logs master-1 kubelab-control-plane" in failed.value.advice
    finally:
        cluster.on(master, f"kill {holder}")
    bring_up(LAB)


def test_nothing_is_left(cluster: Cluster) -> None:
    before = footprint(cluster.lab)
    lifecycle.destroy(cluster.place)
    assert leftovers(cluster.lab, cluster.place, before) == []
