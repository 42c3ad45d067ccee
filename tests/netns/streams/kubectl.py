"""kubectl as a process: its outputs apart, or on a terminal; over each of its transports."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.netns.kubelet.cluster import Cluster
from tests.netns.streams.terminal import Terminal

FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
PODS = "/api/v1/namespaces/default/pods"
_SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
TRANSPORTS = pytest.mark.parametrize("environment", [{}, _SPDY], ids=["websocket", "spdy"])


def run(
    cluster: Cluster, *argv: str, environment: dict[str, str] | None = None, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """kubectl, its outputs apart."""
    command = ["kubectl", f"--kubeconfig={cluster.admin}", *argv]
    env = {**os.environ, **(environment or {})}
    return subprocess.run(command, input=data, capture_output=True, timeout=180, env=env)


def terminal(cluster: Cluster, *argv: str, environment: dict[str, str] | None = None) -> Terminal:
    return Terminal(["kubectl", f"--kubeconfig={cluster.admin}", *argv], {**os.environ, **(environment or {})})
