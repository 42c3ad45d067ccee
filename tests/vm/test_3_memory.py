"""Memory that an administrator gives a machine beside its own: huge pages, and swap (KEP-2400)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.spec import Machine
from tests.vm.cluster import Cluster, condition
from tests.vm.waiting import until

CONFIG = "/var/lib/kubelet/config.yaml"
SWAP = "/var/lib/swap-of-a-check"
SWAP_BYTES = 128 * 2**20
PAGES = 8


@pytest.fixture(scope="module")
def richer(cluster: Cluster) -> Iterator[Machine]:
    """A worker with huge pages of 2 MiB and a file to swap to, whose kubelet has been told that it may swap."""
    machine = cluster.workers[0]
    allowed = "failSwapOn: false\\nmemorySwap: {swapBehavior: LimitedSwap}\\n"
    cluster.on(machine, f"sysctl -q vm.nr_hugepages={PAGES}")
    cluster.on(machine, f"fallocate -l {SWAP_BYTES} {SWAP} && chmod 600 {SWAP} && mkswap -q {SWAP} && swapon {SWAP}")
    cluster.on(machine, f"cp {CONFIG} {CONFIG}.before && sed -i '/^failSwapOn/d;/^memorySwap/d' {CONFIG}")
    cluster.on(machine, f"printf '{allowed}' >> {CONFIG} && systemctl restart kubelet")
    yield machine
    cluster.kubectl("delete", "pod", "richer", "--ignore-not-found", "--timeout=120s")
    cluster.on(machine, f"swapoff {SWAP} && rm {SWAP} && sysctl -q vm.nr_hugepages=0")
    cluster.on(machine, f"mv {CONFIG}.before {CONFIG} && systemctl restart kubelet")
    until("the node has no huge pages", lambda: _capacity(cluster, machine)["hugepages-2Mi"] == "0")
    cluster.wait_nodes_ready()


def _capacity(cluster: Cluster, machine: Machine) -> dict[str, str]:
    found: dict[str, str] = cluster.get("node", machine.name)["status"]["capacity"]
    return found


def test_a_pod_has_its_huge_pages_and_its_share_of_the_swap(cluster: Cluster, richer: Machine) -> None:
    until("the node tells of its huge pages", lambda: _capacity(cluster, richer)["hugepages-2Mi"] == f"{2 * PAGES}Mi")
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_pod(richer.name)))
    until("its pod runs", lambda: condition(cluster.get("pod", "richer"), "Ready") == "True", 300)
    # containerd leaves huge pages alone unless told otherwise (disable_hugetlb_controller): the limit is the pod's.
    uid = cluster.get("pod", "richer")["metadata"]["uid"].replace("-", "_")
    found = f"cat /sys/fs/cgroup/kubepods.slice/*/kubepods-*-pod{uid}.slice/hugetlb.2MB.max"
    assert int(cluster.on(richer, found)) == 4 * 2**20
    files = "cat /sys/fs/cgroup/memory.swap.max; grep hugetlbfs /proc/mounts"
    swap, mount = cluster.kubectl("exec", "richer", "--", "sh", "-c", files).splitlines()
    memory = int(_capacity(cluster, richer)["memory"].removesuffix("Ki")) * 1024
    share = 64 * 2**20 / memory * SWAP_BYTES
    # A swap file loses a page to its header; cgroups count in pages.
    assert share * 0.99 - 8192 < int(swap) <= share, (swap, share)
    assert mount.split()[1] == "/huge" and "pagesize=2M" in mount


def _pod(node: str) -> dict[str, Any]:
    asked = {"memory": "64Mi", "hugepages-2Mi": "4Mi"}
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"],
        "resources": {"requests": asked, "limits": {"memory": "128Mi", "hugepages-2Mi": "4Mi"}},
        "volumeMounts": [{"name": "huge", "mountPath": "/huge"}],
    }
    volume = {"name": "huge", "emptyDir": {"medium": "HugePages"}}
    spec = {"nodeName": node, "containers": [container], "volumes": [volume]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "richer"}, "spec": spec}
