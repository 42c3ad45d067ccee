"""Three masters: an etcd of three members, API servers that share an address, and what is left when masters go.

The tests build on each other, in the order of the file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from provisioner.home import LabHome
from provisioner.spec import Machine
from provisioner.specfile import parse_lab
from tests.netns.lab.labs import bring_up, home_of
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

LAB = parse_lab(
    """
name: masters
driver: netns
masters: 3
workers: 1
network: 192.168.73.0/24
podCIDR: 10.73.0.0/16
serviceCIDR: 10.173.0.0/20
metricsServer: false
"""
)
SHARED = "192.168.73.10"
ETCD = "/etc/kubernetes/pki/etcd"
ETCDCTL = f"etcdctl --cacert={ETCD}/ca.crt --cert={ETCD}/healthcheck-client.crt --key={ETCD}/healthcheck-client.key"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@pytest.fixture(scope="module")
def place() -> Iterator[LabHome]:
    with home_of(LAB) as place:
        yield place


@pytest.fixture(scope="module")
def cluster(place: LabHome) -> Cluster:
    bring_up(LAB)
    return Cluster(place)


def _answers(cluster: Cluster) -> bool:
    return cluster.try_kubectl("get", "--raw", "/readyz", "--request-timeout=5s").stdout == "ok"


def _servers(cluster: Cluster) -> set[str]:
    """Where the Service `kubernetes` leads."""
    slices = cluster.get("endpointslice", "kubernetes")
    return {address for endpoint in slices["endpoints"] for address in endpoint["addresses"]}


def _leader(cluster: Cluster, component: str) -> str:
    holder: str = cluster.get("lease", component, "-n", "kube-system")["spec"]["holderIdentity"]
    return holder.partition("_")[0]


def _running(cluster: Cluster) -> list[Machine]:
    return [each for each in cluster.lab.all_masters if cluster.driver.state(each) == "running"]


def _holder(cluster: Cluster) -> Machine | None:
    """The master that holds the shared address; AssertionError while several do."""
    found = [each for each in _running(cluster) if f" {SHARED}/" in cluster.on(each, "ip -4 address show dev eth0")]
    assert len(found) <= 1, found
    return found[0] if found else None


def test_every_master_runs_all_of_the_control_plane(cluster: Cluster) -> None:
    cluster.wait_nodes_ready()
    masters = [each.name for each in cluster.lab.all_masters]
    pods = cluster.get("pods", "-n", "kube-system", "-l", "tier=control-plane")["items"]
    assert {pod["metadata"]["name"] for pod in pods} == {f"{what}-{each}" for what in COMPONENTS for each in masters}
    members = cluster.on(cluster.lab.master, f"{ETCDCTL} member list")
    assert sorted(line.split(", ")[2] for line in members.splitlines()) == masters
    assert members.count("started") == 3
    until("three servers", lambda: _servers(cluster) == {each.ip for each in cluster.lab.all_masters})
    assert {_leader(cluster, each) for each in COMPONENTS[2:]} <= set(masters)


def test_clients_dial_the_shared_address_and_masters_their_own(cluster: Cluster) -> None:
    assert f"server: https://{SHARED}:6443\n" in cluster.place.admin_conf.read_text()
    for machine in cluster.lab.machines:
        dialled = "127.0.0.1" if machine.is_master else SHARED
        assert cluster.on(machine, "grep server: /etc/kubernetes/kubelet.conf") == f"server: https://{dialled}:6443"
    assert _holder(cluster) is not None


def _kubelab(*words: str) -> str:
    argv = [sys.executable, "-m", "provisioner", *words, "--lab=masters"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout


def test_what_each_master_did_is_one_story(cluster: Cluster) -> None:
    cluster.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2", "--port=80")
    cluster.kubectl("expose", "deployment", "web")
    until("two pods", lambda: cluster.ready_pods("app=web", 2))
    asked = until("who holds the address", lambda: _holder(cluster))
    steps = json.loads(_kubelab("trace", "deployment", "web", "--json"))["steps"]
    assert (steps[0]["where"], steps[0]["what"]) == (f"kube-apiserver {asked.name}", "request")
    for component in COMPONENTS[2:]:
        assert f"{component} {_leader(cluster, component)}" in {step["where"] for step in steps}
    loops = json.loads(_kubelab("step", "--list", "--json"))
    assert {loop["component"] for loop in loops["loops"]} == set(COMPONENTS[2:]) and not loops["silent"]


def test_a_lost_master_is_not_missed(cluster: Cluster) -> None:
    lost = until("who holds the address", lambda: _holder(cluster))
    cluster.driver.power_off(lost)
    until("another holds the address", lambda: _holder(cluster))
    until("the API", lambda: _answers(cluster))
    until("two servers", lambda: _servers(cluster) == {each.ip for each in _running(cluster)})
    for component in COMPONENTS[2:]:
        until(f"{component} has a leader", lambda each=component: _leader(cluster, each) != lost.name)
    cluster.kubectl("scale", "deployment/web", "--replicas=3")
    until("three pods", lambda: cluster.ready_pods("app=web", 3))


def test_without_a_majority_nothing_is_decided_and_pods_run_on(cluster: Cluster) -> None:
    address = cluster.get("service", "web")["spec"]["clusterIP"]
    last, *others = _running(cluster)
    for each in others:
        cluster.driver.power_off(each)
    readyz = "curl -sk https://127.0.0.1:6443/readyz"
    until("its server says why", lambda: "[-]etcd failed: reason withheld" in cluster.on(last, readyz))
    until("nobody holds the address", lambda: _holder(cluster) is None)
    assert not _answers(cluster)
    assert "nginx" in cluster.on(cluster.workers[0], f"curl -fsS --max-time 10 http://{address}/")


def test_masters_that_come_back_are_one_cluster_again(cluster: Cluster) -> None:
    bring_up(LAB)
    cluster.wait_nodes_ready()
    assert _answers(cluster) and len(cluster.pods("app=web")) == 3
    health = cluster.on(cluster.lab.master, f"{ETCDCTL} endpoint health --cluster 2>&1")
    assert health.count("is healthy") == 3
    until("three servers", lambda: _servers(cluster) == {each.ip for each in cluster.lab.all_masters})
    until("one holds the address", lambda: _holder(cluster))
