"""A node with a pod, behind our API server: shared by the tests of streams and of proxies."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.kubelet import cluster as control_plane
from tests.netns.kubelet import machine as machines
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster
from tests.netns.kubelet.machine import Machine
from tests.netns.streams.kubectl import FOREVER


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with machines.started("streams") as node:
        # The API server stands outside of the node, as on a master, and must reach the pods.
        subprocess.run(["ip", "route", "replace", node.pod_cidr, "via", node.node_ip], check=True)
        yield node


@pytest.fixture(scope="session")
def cluster(machine: Machine) -> Iterator[Cluster]:
    with control_plane.started(machine) as plane:
        yield plane
    assert "Traceback" not in (machine.dir / "control-plane.log").read_text()


@pytest.fixture(scope="session")
def kubelet(machine: Machine, cluster: Cluster) -> Iterator[Kubelet]:
    with control_plane.joined(cluster) as agent:
        try:
            yield agent
        finally:
            # Their sandboxes would leave network namespaces behind.
            cluster.kubectl("delete", "deployments,pods", "--all", "--grace-period=1", "--timeout=120s")
            eventually(lambda: not agent.pods(), "an empty node")
    assert "Traceback" not in agent.output.read_text()


@pytest.fixture(scope="session")
def web(cluster: Cluster, kubelet: Kubelet) -> dict[str, Any]:
    """A pod that serves pages, speaks on both of its outputs, and has a second container."""
    script = (
        'mkdir -p /www/dir && echo \'<a href="/dir/">in</a><a href="x">rel</a>\' > /www/index.html && '
        f"echo in > /www/dir/index.html; echo out; sleep 1; echo err >&2; httpd -p 8080 -h /www; {FOREVER}"
    )
    ready = {"readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {**busybox(script), "ports": [{"containerPort": 8080, "name": "http"}], **ready},
                {**busybox(f"echo beside; {FOREVER}"), "name": "side"},
            ],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    cluster.apply(pod, service)
    found = cluster.ready("web")
    path = "/api/v1/namespaces/default/services/web:http/proxy/dir/"
    eventually(lambda: cluster.kubectl("get", "--raw", path) == "in\n", "the endpoints of the Service")
    return found
