"""A lab with a cloud: what machine a Node is on, addresses for Services, ways to pods, machines that go.

Looked at from the host, as whoever sits there would: with stock kubectl and real packets. The tests build on each
other, in the order of the file.
"""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from provisioner import cloudmanager, lifecycle
from provisioner.home import LabHome, find_home
from provisioner.progress import make_progress
from provisioner.specfile import parse_lab
from tests.netns.lab.leftovers import footprint, leftovers
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

TEXT = """
name: kbd-cloud
driver: netns
workers: 2
network: 192.168.93.0/24
podCIDR: 10.93.0.0/16
serviceCIDR: 10.193.0.0/20
metricsServer: false
cloudProvider: external
loadBalancers: 192.168.93.200-192.168.93.201
zones: 2
"""
LAB = parse_lab(TEXT)
PATIENCE = 120.0
ANNOUNCED_BY = "cloud.kubelab.io/announced-by"
WEB = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: busybox, command: [sh, -c, "hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp"]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{port: 80}]
"""


@pytest.fixture(scope="module")
def place() -> Iterator[LabHome]:
    """The lab's home; whatever the tests do, the lab is destroyed."""
    place = LabHome(find_home(), LAB.name)
    lifecycle.destroy(place, LAB)  # of a run that was killed
    yield place
    lifecycle.destroy(place, LAB)


@pytest.fixture(scope="module")
def cluster(place: LabHome) -> Cluster:
    lifecycle.bring_up(LAB, find_home(), lambda steps: make_progress(steps, as_json=False))
    return Cluster(place)


def page(address: str) -> str | None:
    """What a web server says to this host; None when it does not answer."""
    connection = http.client.HTTPConnection(address, 80, timeout=3)
    try:
        connection.request("GET", "/index.html")
        answer = connection.getresponse()
        return answer.read().decode().strip() if answer.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


def test_nodes_are_told_what_machine_they_are_on(cluster: Cluster) -> None:
    def initialized() -> bool:
        nodes = cluster.get("nodes")["items"]
        return all(node["spec"].get("providerID") and node["spec"].get("podCIDR") for node in nodes)

    until("every Node is initialized", initialized, PATIENCE)
    for machine in LAB.machines:
        node = cluster.get("node", machine.name)
        assert node["spec"]["providerID"] == f"kubelab://{LAB.name}/{machine.name}"
        assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == LAB.zone(machine)
        assert node["metadata"]["labels"]["topology.kubernetes.io/region"] == LAB.name
        assert {"type": "InternalIP", "address": machine.ip} in node["status"]["addresses"]
        taints = [taint["key"] for taint in node["spec"].get("taints", [])]
        assert "node.cloudprovider.kubernetes.io/uninitialized" not in taints


def test_pods_and_balancers_are_reached_from_the_host(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=WEB)
    pods = until("a pod on each worker", lambda: cluster.ready_pods("app=web", 2), PATIENCE)
    for pod in pods:
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        until(f"{name} answers at {address}", partial(_says, address, name), PATIENCE)
    address = until("the Service has an address", lambda: _address(cluster), PATIENCE)
    assert address == "192.168.93.200"
    until("the Service answers", lambda: page(address) is not None, PATIENCE)
    routes = subprocess.run(["ip", "route", "show", "proto", "77"], capture_output=True, text=True, check=True).stdout
    assert all(cluster.get("node", each.name)["spec"]["podCIDR"] in routes for each in LAB.machines)


def _says(address: str, text: str) -> bool:
    return page(address) == text


def _address(cluster: Cluster) -> str | None:
    ingress = cluster.get("service", "web")["status"]["loadBalancer"].get("ingress")
    return str(ingress[0]["ip"]) if ingress else None


def _announcer(cluster: Cluster) -> str:
    return str(cluster.get("service", "web")["metadata"]["annotations"][ANNOUNCED_BY])


def test_an_address_moves_when_its_machine_dies(cluster: Cluster) -> None:
    """With externalTrafficPolicy Local, whoever answers is on the node that announces."""
    old = _announcer(cluster)
    machine = LAB.machine(old)
    cluster.driver.power_off(machine)
    new = until("another node announces", lambda: name if (name := _announcer(cluster)) != old else None, PATIENCE)
    pods = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in cluster.pods("app=web")}
    until(f"{new} answers", lambda: page("192.168.93.200") == pods[new], PATIENCE)

    _fall_silent(cluster, old)
    until("the shutdown taint", lambda: "node.cloudprovider.kubernetes.io/shutdown" in _taints(cluster, old), PATIENCE)


def test_the_node_of_a_deleted_machine_goes(cluster: Cluster) -> None:
    gone = next(each for each in cluster.workers if each.name != _announcer(cluster))
    cluster.driver.destroy(gone)
    _fall_silent(cluster, gone.name)
    until("its Node is gone", lambda: cluster.try_kubectl("get", "node", gone.name).returncode != 0, PATIENCE)
    message = f"Deleting node {gone.name} because it does not exist in the cloud provider"

    def told() -> bool:
        events = cluster.get("events", "-A", "--field-selector", "reason=DeletingNode")["items"]
        return message in [event["message"] for event in events]

    until("the event DeletingNode", told, PATIENCE)
    subnet = f"{LAB.machine(gone.name).ip} "

    def routed() -> bool:
        shown = subprocess.run(["ip", "route", "show", "proto", "77"], capture_output=True, text=True, check=True)
        return subnet in shown.stdout

    until("its route is gone", lambda: not routed(), PATIENCE)


def _taints(cluster: Cluster, node: str) -> list[str]:
    return [taint["key"] for taint in cluster.get("node", node)["spec"].get("taints", [])]


def _fall_silent(cluster: Cluster, node: str) -> None:
    """What the node lifecycle controller says fifty seconds after a machine's last word, said now."""
    patch = '{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown"}]}}'
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=strategic", "-p", patch)


def test_destroy_leaves_nothing(cluster: Cluster, place: LabHome) -> None:
    assert len(cloudmanager.find(place)) == 1
    before = footprint(LAB)
    lifecycle.destroy(place)
    assert cloudmanager.find(place) == []
    assert leftovers(LAB, place, before) == []
