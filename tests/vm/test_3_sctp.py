"""SCTP through Services and policies: real associations between machines and pods.

Collected only for virtual machines: their kernel brings its own protocols, whatever the host's has.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

import pytest

from provisioner.spec import Machine
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

APP, PORT = "app=sctp", 7777
PATIENCE = 180.0
#: Answers every association with the name of its pod.
SERVER = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as server:
    server.bind(("", {PORT}))
    server.listen()
    while True:
        with server.accept()[0] as client:
            client.sendall(socket.gethostname().encode())
"""
#: Prints what is answered, or why nothing is.
CLIENT = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as client:
    client.settimeout(5)
    try:
        client.connect((sys.argv[1], int(sys.argv[2])))
        print(client.recv(100).decode())
    except OSError as error:
        print(type(error).__name__)
"""
OBJECTS = f"""
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: sctp}}
spec:
  selector: {{matchLabels: {{app: sctp}}}}
  template:
    metadata: {{labels: {{app: sctp}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: python
        command: [python3, -c, {json.dumps(SERVER)}]
        ports: [{{containerPort: {PORT}, protocol: SCTP}}]
---
apiVersion: v1
kind: Service
metadata: {{name: sctp}}
spec: {{type: NodePort, selector: {{app: sctp}}, ports: [{{port: {PORT}, protocol: SCTP}}]}}
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: sctp}
spec:
  podSelector: {matchLabels: {app: sctp}}
  ingress: [{ports: [{port: PORT, protocol: SCTP}]}]
"""


@pytest.fixture(scope="module", autouse=True)
def served(cluster: Cluster) -> Iterator[None]:
    _clean(cluster)
    cluster.kubectl("apply", "-f", "-", stdin=OBJECTS)
    until("a server on each worker", lambda: cluster.ready_pods(APP, len(cluster.workers)), PATIENCE)
    yield
    _clean(cluster)


def _clean(cluster: Cluster) -> None:
    kinds = ("daemonset/sctp", "service/sctp", "networkpolicy/sctp")
    cluster.kubectl("delete", *kinds, "--ignore-not-found", "--timeout=120s")


def names(cluster: Cluster) -> set[str]:
    return {pod["metadata"]["name"] for pod in cluster.pods(APP)}


def asked_by(cluster: Cluster, machine: Machine, address: str, port: int) -> str:
    return cluster.on(machine, f"python3 -c {shlex.quote(CLIENT)} {address} {port}")


def asked_in_a_pod(cluster: Cluster, address: str) -> str:
    return cluster.kubectl("exec", min(names(cluster)), "--", "python3", "-c", CLIENT, address, str(PORT))


def all_answer(cluster: Cluster, ask: Callable[[], str]) -> None:
    """Every server is met, sooner or later; nothing else ever answers."""
    known, met = names(cluster), set[str]()

    def met_all() -> bool:
        met.add(answer := ask())
        assert answer in known, answer
        return met == known

    until(f"all of {sorted(known)} answer", met_all, PATIENCE)


def test_pods_reach_those_of_other_nodes(cluster: Cluster) -> None:
    for pod in cluster.pods(APP):
        assert asked_in_a_pod(cluster, pod["status"]["podIP"]) == pod["metadata"]["name"]


def test_the_cluster_ip_answers_in_a_pod_and_on_every_machine(cluster: Cluster) -> None:
    address = cluster.get("service", "sctp")["spec"]["clusterIP"]
    all_answer(cluster, lambda: asked_in_a_pod(cluster, address))
    for machine in cluster.lab.machines:
        all_answer(cluster, lambda machine=machine: asked_by(cluster, machine, address, PORT))


def test_the_node_port_answers_on_every_machine(cluster: Cluster) -> None:
    port = cluster.get("service", "sctp")["spec"]["ports"][0]["nodePort"]
    for machine in cluster.lab.machines:
        asking = next(each for each in cluster.lab.machines if each != machine)
        all_answer(cluster, lambda to=machine.ip, by=asking: asked_by(cluster, by, str(to), port))


def test_a_policy_that_names_another_port_keeps_it_out(cluster: Cluster) -> None:
    other = next(pod for pod in cluster.pods(APP) if pod["metadata"]["name"] != min(names(cluster)))
    address = other["status"]["podIP"]

    def says(port: int, answer: str) -> None:
        cluster.kubectl("apply", "-f", "-", stdin=POLICY.replace("PORT", str(port)))
        until(f"{answer} with a policy for {port}", lambda: asked_in_a_pod(cluster, address) == answer, PATIENCE)

    says(PORT + 1, "TimeoutError")
    says(PORT, other["metadata"]["name"])
