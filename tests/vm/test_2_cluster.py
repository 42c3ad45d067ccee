"""The cluster as a whole: Nodes, roles, DNS."""

from __future__ import annotations

from tests.vm.cluster import Cluster, condition
from tests.vm.waiting import until

MASTER_LABEL = "node-role.kubernetes.io/control-plane"


def test_every_node_is_ready(cluster: Cluster) -> None:
    cluster.wait_nodes_ready(60)


def test_master_is_named_and_tainted(cluster: Cluster) -> None:
    node = cluster.get("node", cluster.lab.master.name)
    assert MASTER_LABEL in node["metadata"]["labels"]
    assert {"key": MASTER_LABEL, "effect": "NoSchedule"} in node["spec"].get("taints", [])


def test_internal_addresses_are_the_machines(cluster: Cluster) -> None:
    for machine in cluster.lab.machines:
        addresses = cluster.get("node", machine.name)["status"]["addresses"]
        assert {"type": "InternalIP", "address": machine.ip} in addresses


def test_cluster_dns_is_ready(cluster: Cluster) -> None:
    def look() -> bool:
        pods = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
        assert pods and all(condition(pod, "Ready") == "True" for pod in pods), [p["status"] for p in pods]
        return True

    until("cluster DNS is Ready", look, 180)
    assert cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"] == cluster.lab.dns_ip


def test_a_malformed_manifest_is_refused_with_its_field(cluster: Cluster) -> None:
    manifest = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad}\n"
        "spec: {replicas: -1, selector: {matchLabels: {a: b}}, "
        "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: busybox}]}}}\n"
    )
    done = cluster.try_kubectl("apply", "--validate=false", "-f", "-", stdin=manifest)
    assert done.returncode != 0
    assert "spec.replicas" in done.stderr
    assert cluster.try_kubectl("get", "deployment", "bad").returncode != 0


def test_kubectl_top(cluster: Cluster) -> None:
    """metrics-server is up half a minute after the lab, and tells of every node and of itself."""
    if not cluster.lab.metrics_server:
        assert "Metrics API not available" in cluster.try_kubectl("top", "nodes").stderr
        return

    def nodes() -> bool:
        table = cluster.kubectl("top", "nodes", "--no-headers")
        return {line.split()[0] for line in table.splitlines()} == {machine.name for machine in cluster.lab.machines}

    until("kubectl top tells of every node", nodes, 300)
    pods = cluster.kubectl("-n", "kube-system", "top", "pods", "-l", "k8s-app=metrics-server", "--no-headers")
    [(_, cpu, memory)] = [line.split() for line in pods.splitlines()]
    assert cpu.endswith("m") and memory.endswith("Mi")
