"""The metrics API over a real kubelet: kubectl top, and an autoscaler that acts upon it.

metrics-server runs beside the API server with the objects and the rights of its manifest, but as a process.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.kit.certs import Authority
from provisioner.rendering import render
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined
from tests.netns.kubelet.machine import Machine

_SOURCE = Path(__file__).resolve().parents[3]
_TEMPLATE = _SOURCE / "provisioner" / "templates" / "metrics-server.yaml.j2"
BUSY = "trap exit TERM; while true; do :; done"
PORT = 14443


@pytest.fixture(scope="module")
def kubelet(machine: Machine, cluster: Cluster) -> Iterator[Kubelet]:
    authority = Authority.load(cluster.dir / "pki" / "ca.crt", cluster.dir / "pki" / "ca.key")
    pair = authority.issue("system:node:node", orgs=("system:nodes",), ips=(machine.node_ip,), server=True)
    cert, key = machine.dir / "serving.crt", machine.dir / "serving.key"
    cert.write_bytes(pair.cert_pem)
    key.write_bytes(pair.key_pem)
    with joined(cluster, tlsCertFile=str(cert), tlsPrivateKeyFile=str(key)) as agent:
        yield agent


@pytest.fixture(scope="module")
def metrics_server(machine: Machine, cluster: Cluster, kubelet: Kubelet) -> Iterator[None]:
    """Everything of the manifest but the Deployment; the Service's endpoint is the process on this machine."""
    for document in yaml.safe_load_all(render(_TEMPLATE.name, image="x", code="c")):
        if document["kind"] == "Deployment":
            continue
        if document["kind"] == "Service":
            del document["spec"]["selector"]
        cluster.apply(document)
    cluster.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "metrics-server-1",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "metrics-server"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [machine.host_ip], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
        }
    )
    token = cluster.kubectl("-n", "kube-system", "create", "token", "metrics-server", "--duration=1h").strip()
    kubeconfig = machine.dir / "metrics-server.conf"
    ca = base64.b64encode((cluster.dir / "pki" / "ca.crt").read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": cluster.server, "certificate-authority-data": ca}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(yaml.safe_dump(document))
    argv = ["-m", "controlplane.metricsserver", f"--kubeconfig={kubeconfig}", f"--bind-address={machine.host_ip}"]
    argv += [f"--secure-port={PORT}", "--metric-resolution=12s", "--kubelet-preferred-address-types=InternalIP"]
    with (machine.dir / "metrics-server.log").open("ab") as output:
        process = subprocess.Popen([sys.executable, *argv], stdout=output, stderr=output, cwd=_SOURCE)
    try:
        eventually(
            lambda: cluster.kubectl(
                "wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=120s"
            ),
            "the API's availability",
        )
        yield
    finally:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(120) == 0, (machine.dir / "metrics-server.log").read_text()[-2000:]


def rows(text: str) -> dict[str, list[str]]:
    """The rows of kubectl's table by their first word."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def deployment(**resources: Any) -> dict[str, Any]:
    container = busybox(BUSY, resources=resources)
    labels = {"app": "busy"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "busy"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def test_top_and_an_autoscaler(cluster: Cluster, kubelet: Kubelet, metrics_server: None) -> None:
    cluster.apply(deployment(requests={"cpu": "50m"}, limits={"cpu": "150m", "memory": "32Mi"}))

    def nodes() -> list[str] | None:
        return rows(cluster.kubectl("top", "nodes")).get("node")

    cpu, share, memory, _ = eventually(nodes, "kubectl top nodes") or []
    assert cpu.endswith("m") and share.endswith("%") and memory.endswith("Mi")

    def pods() -> dict[str, list[str]]:
        return {
            name: row for name, row in rows(cluster.kubectl("top", "pods", "-l", "app=busy")).items() if row[0] != "0m"
        }

    found = eventually(pods, "kubectl top pods")
    [(name, (used, held))] = found.items()
    # At most a share of a busy machine, and what a window of measurement is off by.
    assert 20 <= int(used.removesuffix("m")) <= 300 and held.endswith("Mi")
    assert "main" in cluster.kubectl("top", "pod", name, "--containers")
    shown = json.loads(cluster.kubectl("get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/{name}"))
    assert shown["kind"] == "PodMetrics" and shown["containers"][0]["usage"]["cpu"].endswith(("n", "u", "m"))
    assert cluster.kubectl("get", "nodemetrics").splitlines()[0].split() == ["NAME", "CPU", "MEMORY", "WINDOW"]
    refused = cluster.kubectl("top", "pod", "nobody", check=False)
    assert 'Error from server (NotFound): pods "nobody" not found' in refused

    cluster.kubectl("autoscale", "deployment", "busy", "--min=1", "--max=2", "--cpu-percent=80")
    eventually(lambda: cluster.get("deployment", "busy")["spec"]["replicas"] == 2, "a second replica")

    def utilization() -> int:
        current = cluster.get("hpa", "busy")["status"]["currentMetrics"][0]["resource"]["current"]
        return int(current["averageUtilization"])

    eventually(lambda: utilization() > 80, "what it acted upon")
    eventually(lambda: "SuccessfulRescale" in cluster.events("busy"), "the event")
    cluster.kubectl("delete", "hpa,deployment", "busy")


def test_others_may_not_ask(cluster: Cluster, kubelet: Kubelet, metrics_server: None) -> None:
    path = "/apis/metrics.k8s.io/v1beta1/nodes"
    said = cluster.kubectl("get", "--raw", path, "--as=nobody", check=False)
    assert "forbidden" in said.lower()
    allowed = cluster.kubectl("auth", "can-i", "list", "pods.metrics.k8s.io", "--as=x", "--as-group=system:masters")
    assert allowed.strip() == "yes"
