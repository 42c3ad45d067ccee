"""What pods write to a machine's disks is counted, by device (`/metrics/cadvisor`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.vm.cluster import Cluster
from tests.vm.waiting import until

MI = 2**20
WRITE = f"head -c {4 * MI} /dev/zero > /d/f; fsync /d/f; trap 'exit 0' TERM; sleep 100000 & wait"


@pytest.fixture
def writer(cluster: Cluster) -> Iterator[str]:
    """The node of a pod that writes 4 MiB."""
    node = cluster.workers[0].name
    mounts = [{"name": "d", "mountPath": "/d"}]
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", WRITE], "volumeMounts": mounts}
    spec = {"nodeName": node, "containers": [container], "volumes": [{"name": "d", "emptyDir": {}}]}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer"}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    yield node
    cluster.kubectl("delete", "pod", "writer", "--timeout=120s")


def test_what_a_pod_writes(cluster: Cluster, writer: str) -> None:
    def counted() -> bool:
        text = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{writer}/proxy/metrics/cadvisor")
        pattern = r'container_fs_writes_bytes_total\{container="main",device="([^"]*)".*pod="writer"\} (\S+)'
        found = {device: float(count) for device, count in re.findall(pattern, text)}
        assert found.get("/dev/vda", 0) >= 4 * MI, found or "nothing of the pod"
        return True

    until("what it wrote is counted", counted, 180)
