"""A node whose pods take more memory than it has for them: who is evicted, who is refused, and who is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.kubelet import faults
from tests.netns.kubelet.agent import eventually
from tests.netns.kubelet.faults import IDLE, Node, pod, restarts

MI = 1 << 20
#: What is reserved leaves the pods so little: other tests beside this one do not come into it.
FOR_PODS = 700 * MI


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    capacity = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    with faults.node(
        "memory",
        systemReserved={"memory": str(capacity - FOR_PODS)},
        evictionHard={"memory.available": "200Mi"},
        # Long enough for pods to be refused meanwhile, on a busy machine too.
        evictionPressureTransitionPeriod="20s",
    ) as made:
        yield made


def fills(name: str, megabytes: int, **spec: Any) -> dict[str, Any]:
    """A pod that holds so much memory, in files."""
    container = {"volumeMounts": [{"name": "m", "mountPath": "/m"}], **spec.pop("container", {})}
    volumes = [{"name": "m", "emptyDir": {"medium": "Memory"}}]
    return pod(name, f"head -c {megabytes * MI} /dev/zero > /m/f; {IDLE}", container=container, volumes=volumes, **spec)


def test_who_goes_when_memory_runs_short(node: Node) -> None:
    small = {"resources": {"requests": {"memory": "16Mi"}}}
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
    node.cluster.apply({**priority, "metadata": {"name": "important"}, "value": 1000})
    whole = {"resources": {"limits": {"memory": "120Mi", "cpu": "100m"}}}
    node.cluster.apply(
        fills("within", 80, container=whole),
        fills("important", 100, container=small, priorityClassName="important"),
    )
    before = node.all_running(["within", "important"])
    node.cluster.apply(fills("greedy", 380, container=small))
    eventually(lambda: node.condition("MemoryPressure")["status"] == "True", "MemoryPressure")
    pressed = node.condition("MemoryPressure")
    assert (pressed["reason"], pressed["message"]) == (
        "KubeletHasInsufficientMemory",
        "kubelet has insufficient memory available",
    )
    node.cluster.apply(pod("best-effort"), pod("burstable", container=small))
    eventually(lambda: node.cluster.pod("greedy")["status"]["phase"] == "Failed", "eviction")
    greedy = node.cluster.pod("greedy")["status"]
    assert greedy["reason"] == "Evicted"
    start = "The node was low on resource: memory. Threshold quantity: 200Mi, available: "
    assert greedy["message"].startswith(start), greedy["message"]
    assert greedy["message"].endswith(", request is 16Mi, has larger consumption of memory. "), greedy["message"]
    # Who asks for nothing would be the first to go, and is not let in; who asks for something is.
    eventually(lambda: node.cluster.pod("best-effort")["status"].get("phase") == "Failed", "a verdict")
    refused = node.cluster.pod("best-effort")["status"]
    assert (refused["reason"], refused["message"]) == (
        "Evicted",
        "Pod was rejected: The node had condition: [MemoryPressure]. ",
    )
    taints = node.cluster.get("node", "node")["spec"].get("taints") or []
    assert "node.kubernetes.io/memory-pressure" in [taint["key"] for taint in taints]
    assert node.all_running(["within", "important"]) == before, "the others are left alone"
    node.all_running(["burstable"])
    eventually(lambda: node.condition("MemoryPressure")["status"] == "False", "the end of the pressure")
    after = node.pods()
    assert all(restarts(after[name]) == 0 for name in before)
    told = {"EvictionThresholdMet", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"}
    eventually(lambda: told <= set(node.cluster.events("node")), "the events of the node")
    metrics = node.kubelet.get("/metrics").decode()
    assert 'kubelet_evictions{eviction_signal="allocatableMemory.available"} 1.0' in metrics
    node.delete_all()
    node.settles(0)
