"""A node that runs out of process numbers: who made the most of them goes, and nobody new is let in meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.kubelet import faults
from tests.netns.kubelet.agent import eventually
from tests.netns.kubelet.faults import Node, pod, restarts

#: How many more the node may have before it is short of them: other tests beside this one do not come into it.
SPARE, GREED = 4000, 5500


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    most = min(int(Path("/proc/sys/kernel", name).read_text()) for name in ("pid_max", "threads-max"))
    running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    with faults.node(
        "processes",
        evictionHard={"pid.available": str(most - running - SPARE)},
        evictionPressureTransitionPeriod="20s",
    ) as made:
        yield made


def forks(name: str, many: int, **spec: Any) -> dict[str, Any]:
    """A pod of so many processes, which wait."""
    script = f"mkfifo /f; i=0; while [ $i -lt {many} ]; do read line < /f & i=$((i+1)); done; wait"
    return pod(name, script, **spec)


def test_who_goes_when_process_numbers_run_short(node: Node) -> None:
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
    node.cluster.apply({**priority, "metadata": {"name": "important"}, "value": 1000})
    node.cluster.apply(pod("few"), forks("important", 100, priorityClassName="important"))
    before = node.all_running(["few", "important"])
    assert node.condition("PIDPressure")["reason"] == "KubeletHasSufficientPID"
    node.cluster.apply(forks("greedy", GREED))
    eventually(lambda: node.condition("PIDPressure")["status"] == "True", "PIDPressure")
    pressed = node.condition("PIDPressure")
    assert (pressed["reason"], pressed["message"]) == (
        "KubeletHasInsufficientPID",
        "kubelet has insufficient PID available",
    )
    asks = {"resources": {"requests": {"memory": "16Mi"}}}
    node.cluster.apply(pod("refused", container=asks))
    eventually(lambda: node.cluster.pod("greedy")["status"]["phase"] == "Failed", "eviction")
    greedy = node.cluster.pod("greedy")["status"]
    assert greedy["reason"] == "Evicted"
    assert greedy["message"].startswith("The node was low on resource: pids. Threshold quantity: "), greedy["message"]
    # Of memory alone who asks for something is let in while there is little.
    eventually(lambda: node.cluster.pod("refused")["status"].get("phase") == "Failed", "a verdict")
    refused = node.cluster.pod("refused")["status"]
    assert (refused["reason"], refused["message"]) == (
        "Evicted",
        "Pod was rejected: The node had condition: [PIDPressure]. ",
    )
    taints = node.cluster.get("node", "node")["spec"].get("taints") or []
    assert "node.kubernetes.io/pid-pressure" in [taint["key"] for taint in taints]
    assert node.all_running(["few", "important"]) == before, "the others are left alone"
    eventually(lambda: node.condition("PIDPressure")["status"] == "False", "the end of the pressure")
    after = node.pods()
    assert all(restarts(after[name]) == 0 for name in before)
    told = {"EvictionThresholdMet", "NodeHasInsufficientPID", "NodeHasSufficientPID"}
    eventually(lambda: told <= set(node.cluster.events("node")), "the events of the node")
    assert 'kubelet_evictions{eviction_signal="pid.available"} 1.0' in node.kubelet.get("/metrics").decode()
    node.delete_all()
    node.settles(0)
