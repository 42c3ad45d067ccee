"""A lab with a cloud: what machine a Node is on, addresses for Services, ways to pods, machines that go. All of it in
IPv4 and IPv6.

Looked at from the host, as whoever sits there would: with stock kubectl and real packets. The tests build on each
other, in the order of the file.
"""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from apimachinery.meta.attachments import MANAGED
from apimachinery.meta.cloud import ANNOUNCED_BY
from provisioner import cloudmanager, lifecycle
from provisioner.home import LabHome
from provisioner.specfile import parse_lab
from tests.netns.lab.labs import bring_up, home_of
from tests.netns.lab.leftovers import footprint, leftovers
from tests.vm import test_3_ipv6 as ipv6
from tests.vm.cluster import Cluster
from tests.vm.waiting import until
from tests.vm.web_servers import web_servers

TEXT = """
name: kbd-cloud
driver: netns
workers: 2
network: 192.168.93.0/24
networkv6: fd00:93::/64
podCIDR: 10.93.0.0/16
podCIDRv6: fd00:93:1::/48
serviceCIDR: 10.193.0.0/20
serviceCIDRv6: fd00:93:2::/112
metricsServer: false
cloudProvider: external
loadBalancers: 192.168.93.200-192.168.93.201
zones: 2
"""
LAB = parse_lab(TEXT)
BEFORE = parse_lab(TEXT.partition("cloudProvider")[0].replace("workers: 2", "workers: 1"))
"""The lab as it is at first: the master and the first worker get their cloud later, the second registers with it."""
BALANCER = ["192.168.93.200", "fd00:93::200"]
PATIENCE = 120.0
WEB = (
    web_servers("web")
    + """apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80}]
"""
)


@pytest.fixture(scope="module")
def place() -> Iterator[LabHome]:
    with home_of(LAB) as place:
        yield place


@pytest.fixture(scope="module")
def cluster(place: LabHome) -> Cluster:
    bring_up(BEFORE)
    assert cloudmanager.find(place) == []
    bring_up(LAB)
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
        shown = [{"type": "InternalIP", "address": ip} for ip in machine.ips]
        assert [each for each in node["status"]["addresses"] if each["type"] == "InternalIP"] == shown
        # Its kubelet attaches no disk by itself, and its disks are plugged in by name.
        assert node["metadata"]["annotations"][MANAGED] == "true"
        assert cluster.get("csinode", machine.name)["spec"]["drivers"][0]["nodeID"] == machine.name
        taints = [taint["key"] for taint in node["spec"].get("taints", [])]
        assert "node.cloudprovider.kubernetes.io/uninitialized" not in taints


def test_pods_and_balancers_are_reached_from_the_host(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=WEB)
    pods = until("a pod on each worker", lambda: cluster.ready_pods("app=web", 2), PATIENCE)
    for pod in pods:
        name = pod["metadata"]["name"]
        for address in [each["ip"] for each in pod["status"]["podIPs"]]:
            until(f"{name} answers at {address}", partial(_says, address, name), PATIENCE)
    assert until("the Service has addresses", lambda: _addresses(cluster), PATIENCE) == BALANCER
    for address in BALANCER:
        until(f"the Service answers at {address}", lambda address=address: page(address) is not None, PATIENCE)
    for family, place in (("-4", 0), ("-6", 1)):
        shown = subprocess.run(
            ["ip", family, "route", "show", "proto", "77"], capture_output=True, text=True, check=True
        )
        assert all(cluster.get("node", each.name)["spec"]["podCIDRs"][place] in shown.stdout for each in LAB.machines)


CHECKS = (
    ipv6.test_pods_reach_those_of_other_nodes,
    ipv6.test_services_answer_at_their_ipv6_addresses,
    ipv6.test_a_service_without_endpoints_rejects,
    ipv6.test_names_have_ipv6_addresses_and_addresses_names,
    ipv6.test_policies_hold_for_ipv6,
)


def test_ipv6_is_as_verify_wants_it(cluster: Cluster) -> None:
    with ipv6.serving(cluster):
        for check in CHECKS:
            check(cluster)


def _says(address: str, text: str) -> bool:
    return page(address) == text


def _addresses(cluster: Cluster) -> list[str]:
    ingress = cluster.get("service", "web")["status"]["loadBalancer"].get("ingress")
    return [str(each["ip"]) for each in ingress or ()]


def _announcer(cluster: Cluster) -> str:
    return str(cluster.get("service", "web")["metadata"]["annotations"][ANNOUNCED_BY])


def test_an_address_moves_when_its_machine_dies(cluster: Cluster) -> None:
    """With externalTrafficPolicy Local, whoever answers is on the node that announces."""
    old = _announcer(cluster)
    machine = LAB.machine(old)
    cluster.driver.power_off(machine)
    new = until("another node announces", lambda: name if (name := _announcer(cluster)) != old else None, PATIENCE)
    pods = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in cluster.pods("app=web")}
    for address in BALANCER:
        until(f"{new} answers at {address}", partial(_says, address, pods[new]), PATIENCE)

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
