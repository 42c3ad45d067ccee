"""The example journey with stock kubectl: deploy, expose, reach, break, scale, delete; each builds on the last."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import pytest

from provisioner.spec import Machine
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

APP = "app=web"
GREETING = "nginx"
#: Seconds that an emulated machine may take to start a pod and report it.
PODS = 180.0


@pytest.fixture(scope="module", autouse=True)
def journey(cluster: Cluster) -> Iterator[None]:
    _clean(cluster)
    cluster.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3", "--port=80")
    cluster.kubectl("expose", "deployment", "web", "--type=NodePort")
    cluster.kubectl("run", "client", "--image=busybox", "--restart=Never", "--", "sleep", "86400")
    yield
    _clean(cluster)


def _clean(cluster: Cluster) -> None:
    cluster.kubectl("delete", "deployment/web", "service/web", "pod/client", "--ignore-not-found", "--timeout=120s")


def _fetch_in_pod(cluster: Cluster, url: str) -> str:
    return cluster.kubectl("exec", "client", "--", "timeout", "10", "wget", "-q", "-O", "-", url)


def _service(cluster: Cluster) -> tuple[str, int]:
    spec = cluster.get("service", "web")["spec"]
    return str(spec["clusterIP"]), int(spec["ports"][0]["nodePort"])


def test_three_pods_run_on_both_workers(cluster: Cluster) -> None:
    pods = until("three web pods are Ready", lambda: cluster.ready_pods(APP, 3), PODS)
    until("the client pod is Ready", lambda: cluster.ready_pods("run=client", 1), PODS)
    assert {pod["spec"]["nodeName"] for pod in pods} == {machine.name for machine in cluster.workers}


def test_every_pod_has_an_address_of_its_nodes_subnet(cluster: Cluster) -> None:
    networks = {
        n["metadata"]["name"]: ipaddress.ip_network(n["spec"]["podCIDR"]) for n in cluster.get("nodes")["items"]
    }
    for pod in cluster.pods(APP):
        assert ipaddress.ip_address(pod["status"]["podIP"]) in networks[pod["spec"]["nodeName"]]


def test_pod_reaches_pod_across_nodes(cluster: Cluster) -> None:
    for pod in cluster.pods(APP):
        assert GREETING in _fetch_in_pod(cluster, f"http://{pod['status']['podIP']}/")


def test_cluster_ip_answers_from_the_node(cluster: Cluster, machine: Machine) -> None:
    address, _ = _service(cluster)
    until(
        f"the ClusterIP answers on {machine.name}",
        lambda: GREETING in cluster.on(machine, f"curl -fsS --max-time 10 http://{address}/"),
        60,
    )


def test_cluster_ip_answers_in_a_pod(cluster: Cluster) -> None:
    assert GREETING in _fetch_in_pod(cluster, f"http://{_service(cluster)[0]}/")


def test_service_answers_by_name_in_a_pod(cluster: Cluster) -> None:
    for name in ("web", f"web.default.svc.{cluster.lab.dns_domain}"):
        until(f"{name} answers", lambda name=name: GREETING in _fetch_in_pod(cluster, f"http://{name}/"), 60)


def test_node_port_answers_on_every_node(cluster: Cluster, machine: Machine) -> None:
    _, port = _service(cluster)
    asking = cluster.lab.master if machine != cluster.lab.master else cluster.workers[0]
    assert GREETING in cluster.on(asking, f"curl -fsS --max-time 10 http://{machine.ip}:{port}/")


def test_logs_and_exec(cluster: Cluster) -> None:
    pod = cluster.pods(APP)[0]["metadata"]["name"]
    _fetch_in_pod(cluster, f"http://{cluster.pods(APP)[0]['status']['podIP']}/")
    assert cluster.kubectl("exec", pod, "--", "hostname") == pod
    assert cluster.try_kubectl("logs", pod).returncode == 0


def test_a_killed_container_is_restarted(cluster: Cluster) -> None:
    pod = cluster.pods(APP)[0]
    machine = cluster.lab.machine(pod["spec"]["nodeName"])
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    cluster.on(machine, f"ctr -n k8s.io tasks kill -s SIGKILL {container}")

    def look() -> bool:
        now = cluster.get("pod", pod["metadata"]["name"])["status"]["containerStatuses"][0]
        return now["restartCount"] == 1 and now["ready"]

    until("the container runs again with restartCount 1", look, PODS)


def test_a_deleted_pod_is_replaced(cluster: Cluster) -> None:
    name = cluster.pods(APP)[0]["metadata"]["name"]
    cluster.kubectl("delete", "pod", name, "--timeout=120s")
    pods = until("three web pods again", lambda: cluster.ready_pods(APP, 3), PODS)
    assert name not in {pod["metadata"]["name"] for pod in pods}


def test_scaling_to_five_and_back(cluster: Cluster) -> None:
    cluster.kubectl("scale", "deployment", "web", "--replicas=5")
    until("five web pods", lambda: cluster.ready_pods(APP, 5), PODS)
    cluster.kubectl("scale", "deployment", "web", "--replicas=3")
    until("three web pods", lambda: cluster.ready_pods(APP, 3), PODS)


def test_deleting_everything_leaves_no_rule_interface_or_address(cluster: Cluster) -> None:
    address, _ = _service(cluster)
    pod_ips = {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in cluster.pods(APP)}
    _clean(cluster)
    for machine in cluster.lab.machines:

        def look(machine: Machine = machine) -> bool:
            rules = cluster.service_rules(machine)
            assert not re.search(rf"\b{re.escape(address)}\b", rules) and "default/web" not in rules, (
                "rules of the Service are left"
            )
            leases = cluster.on(machine, "ls /var/lib/cni/networks/*/ 2>/dev/null || true").split()
            assert pod_ips.get(machine.name) not in leases, "an address is left"
            ports = cluster.on(machine, "ip -o link show type veth | grep -c master || true")
            sandboxes = cluster.on(machine, "ip netns list 2>/dev/null | grep -c cni- || true")
            assert ports == sandboxes, f"{ports} pod interfaces for {sandboxes} sandboxes"
            return True

        until(f"nothing is left on {machine.name}", look, 90)
