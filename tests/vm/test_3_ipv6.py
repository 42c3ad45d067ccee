"""IPv6 in a lab whose machines have it: Nodes, pods of different nodes, Services, names, policies; real packets.

Collected only for such a lab (``networkv6``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from provisioner.spec import Machine, PodNetwork
from tests.vm.cluster import Cluster
from tests.vm.waiting import until
from tests.vm.web_servers import web_servers

APP = "app=six"
PATIENCE = 180.0
OBJECTS = (
    web_servers("six")
    + """apiVersion: v1
kind: Service
metadata: {name: six}
spec: {type: NodePort, ipFamilyPolicy: RequireDualStack, selector: {app: six}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: six-headless}
spec: {clusterIP: None, ipFamilies: [IPv6], selector: {app: six}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: six-nobody}
spec: {ipFamilies: [IPv6], selector: {app: nobody}, ports: [{port: 80}]}
"""
)
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: six}
spec:
  podSelector: {matchLabels: {app: six}}
  ingress: [{from: [{ipBlock: {cidr: "CIDR", except: [EXCEPT]}}]}]
"""


@pytest.fixture(scope="module", autouse=True)
def served(cluster: Cluster) -> Iterator[None]:
    with serving(cluster):
        yield


@contextmanager
def serving(cluster: Cluster) -> Iterator[None]:
    """A web server on each worker, and the Services before them."""
    cluster.kubectl("apply", "-f", "-", stdin=OBJECTS)
    until("a web server on each worker", lambda: cluster.ready_pods(APP, len(cluster.workers)), PATIENCE)
    yield
    kinds = ("daemonset/six", "service/six", "service/six-headless", "service/six-nobody", "networkpolicy/six")
    cluster.kubectl("delete", *kinds, "--ignore-not-found", "--timeout=120s")


def addresses(cluster: Cluster) -> dict[str, str]:
    """Name of each web server → its IPv6 address."""
    return {pod["metadata"]["name"]: pod["status"]["podIPs"][1]["ip"] for pod in cluster.pods(APP)}


def fetch(cluster: Cluster, url: str, pod: str = "") -> str:
    """What a pod, the first web server when none is named, is told; AssertionError when nothing."""
    pod = pod or sorted(addresses(cluster))[0]
    return cluster.kubectl("exec", pod, "--", "timeout", "5", "wget", "-q", "-O", "-", url)


def answers(cluster: Cluster, url: str, pod: str = "", names: frozenset[str] = frozenset()) -> bool:
    return fetch(cluster, url, pod) in (names or addresses(cluster).keys())


def node_answers(cluster: Cluster, machine: Machine, url: str) -> bool:
    return cluster.on(machine, f"curl -gfsS --max-time 5 {url}/index.html") in addresses(cluster)


def test_nodes_have_addresses_of_both_families(cluster: Cluster) -> None:
    for machine in cluster.lab.machines:
        node = cluster.get("node", machine.name)
        internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
        assert tuple(internal) == machine.ips
        assert [":" in cidr for cidr in node["spec"]["podCIDRs"]] == [False, True]


def test_pods_reach_those_of_other_nodes(cluster: Cluster) -> None:
    known = addresses(cluster)
    for asking in known:
        for name, address in known.items():
            url = f"http://[{address}]/index.html"
            until(f"{asking} reaches {name}", partial(answers, cluster, url, asking, frozenset({name})), PATIENCE)
    nodes = {node["metadata"]["name"]: node for node in cluster.get("nodes")["items"]}
    routes = cluster.on(cluster.lab.master, "ip -6 route show proto 76")
    for machine in cluster.workers:
        [subnet] = [cidr for cidr in nodes[machine.name]["spec"]["podCIDRs"] if ":" in cidr]
        network = ipaddress.ip_network(subnet)
        tunnelled = cluster.lab.pod_network is PodNetwork.VXLAN
        gateway = f"{network.network_address} dev kubelab-vxlan" if tunnelled else f"{machine.ip_v6} dev eth0"
        assert f"{network} via {gateway}" in routes


def test_services_answer_at_their_ipv6_addresses(cluster: Cluster) -> None:
    spec = cluster.get("service", "six")["spec"]
    [_, cluster_ip] = spec["clusterIPs"]
    until("the ClusterIP answers in a pod", partial(answers, cluster, f"http://[{cluster_ip}]/index.html"), PATIENCE)
    port = spec["ports"][0]["nodePort"]
    for machine in cluster.lab.machines:
        url = f"http://[{cluster_ip}]"
        until(f"the ClusterIP answers on {machine.name}", partial(node_answers, cluster, machine, url), PATIENCE)
        url = f"http://[{machine.ip_v6}]:{port}"
        asking = next(each for each in cluster.lab.machines if each != machine)
        until(f"{machine.name} answers at its node port", partial(node_answers, cluster, asking, url), PATIENCE)


def test_a_service_without_endpoints_rejects(cluster: Cluster) -> None:
    address = cluster.get("service", "six-nobody")["spec"]["clusterIP"]

    def rejected() -> bool:
        done = cluster.host(cluster.lab.master).run(f"curl -gsS --max-time 5 http://[{address}]/")
        return done.rc == 7 and "timed out" not in done.stderr

    until("connections are refused", rejected, PATIENCE)


def test_names_have_ipv6_addresses_and_addresses_names(cluster: Cluster) -> None:
    domain = cluster.lab.dns_domain
    spec = cluster.get("service", "six")["spec"]
    for server in cluster.lab.dns_ips:
        asked = partial(resolved, cluster, server)
        until(
            "the ClusterIP", lambda asked=asked: spec["clusterIPs"][1] in asked(f"six.default.svc.{domain}"), PATIENCE
        )
        pods = set(addresses(cluster).values())
        name = f"six-headless.default.svc.{domain}"
        until("the pods", lambda asked=asked, name=name, pods=pods: pods == set(asked(name)), PATIENCE)
        back = ipaddress.ip_address(spec["clusterIPs"][1]).reverse_pointer
        until("the way back", lambda asked=asked, back=back: f"six.default.svc.{domain}" in asked(back), PATIENCE)


def test_policies_hold_for_ipv6(cluster: Cluster) -> None:
    known = addresses(cluster)
    asking, other = sorted(known)[:2]
    url = f"http://[{known[other]}]/index.html"

    def refused() -> bool:
        done = cluster.try_kubectl("exec", asking, "--", "timeout", "3", "wget", "-q", "-O", "-", url)
        return done.returncode != 0

    block = POLICY.replace("CIDR", str(cluster.lab.pod_cidr_v6))
    cluster.kubectl("apply", "-f", "-", stdin=block.replace("EXCEPT", f'"{known[asking]}/128"'))
    until("who is excepted is not let in", refused, PATIENCE)
    cluster.kubectl("apply", "-f", "-", stdin=block.replace("EXCEPT", ""))
    until("who is not, is", partial(answers, cluster, url, asking), PATIENCE)


#: Asks a DNS server (argument 1) for AAAA or PTR of a name (argument 2), prints what it is told. Nothing but sockets.
_ASK = """
import socket, struct, sys
server, name = sys.argv[1:3]
kind = 12 if name.endswith(".arpa") else 28
question = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
question += b"\\0" + struct.pack(">HH", kind, 1)
s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question, (server, 53))
answer = s.recv(4096)
at = 12 + len(question)
for _ in range(struct.unpack(">H", answer[6:8])[0]):
    length = struct.unpack(">H", answer[at + 10:at + 12])[0]
    data = answer[at + 12:at + 12 + length]
    at += 12 + length
    if kind == 28:
        print(socket.inet_ntop(socket.AF_INET6, data))
        continue
    labels = []
    while data and data[0]:
        labels.append(data[1:1 + data[0]].decode())
        data = data[1 + data[0]:]
    print(".".join(labels))
"""


def resolved(cluster: Cluster, server: str, name: str) -> list[str]:
    """What a DNS server, asked from the master, says."""
    script = _ASK.replace("'", "'\\''")
    return cluster.on(cluster.lab.master, f"/opt/kubelab/venv/bin/python -I -S -c '{script}' {server} {name}").split()
