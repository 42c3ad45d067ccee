"""The agent killed, restarted and cut off, while pods come and go."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.netns.kubelet import faults
from tests.netns.kubelet.agent import busybox, eventually
from tests.netns.kubelet.faults import Node, report, restarts, times


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with faults.node("flt-agent") as made:
        yield made


@pytest.fixture(autouse=True)
def _empty(node: Node) -> Iterator[None]:
    yield
    if not node.kubelet.alive:
        node.kubelet.start()
    node.delete_all()
    node.settles(0)


def test_restarts_of_the_agent_leave_containers_alone(node: Node) -> None:
    names = [f"stay-{n}" for n in range(times(30, 8))]
    node.create(names)
    before = node.all_running(names)
    rounds = times(10, 2)
    for turn in range(rounds):
        node.kubelet.stop(signal.SIGKILL if turn % 2 else signal.SIGTERM)
        node.kubelet.start()
        assert node.all_running(names) == before
    assert {restarts(item) for item in node.pods().values()} == {0}
    node.settles(len(names))
    report("agent restarted", rounds=rounds, pods=len(names), containers_lost=0)


def test_kill_9_in_bursts_of_pods_leaves_one_sandbox_each_and_nothing_else(node: Node) -> None:
    rounds, many, slowest = times(20, 2), times(30, 8), 0.0
    chance = random.Random(20_250)
    for turn in range(rounds):
        names = [f"burst-{turn}-{n}" for n in range(many)]
        node.create(names)
        made = chance.randrange(1, many)
        eventually(lambda made=made: len(sandboxes(node)) >= made, f"{made} sandboxes")
        node.kubelet.stop(signal.SIGKILL)
        node.kubelet.start()
        first = node.all_running(names)
        slowest = max(slowest, node.settles(many))
        node.kubelet.stop(signal.SIGKILL)
        node.kubelet.start()
        assert node.all_running(names) == first, "what ran goes on"
        node.cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--wait=false")
        left = chance.randrange(1, many)
        eventually(lambda left=left: len(sandboxes(node)) <= left, f"{left} sandboxes")
        node.kubelet.stop(signal.SIGKILL)
        node.kubelet.start()
        eventually(lambda: not node.pods(), "no pod in the API", 120)
        slowest = max(slowest, node.settles(0))
    report("agent killed in bursts", rounds=rounds, kills=3 * rounds, pods=many * rounds, slowest_s=f"{slowest:.1f}")


def test_a_pod_that_was_force_deleted_while_the_agent_was_down_is_cleaned_up(node: Node) -> None:
    names = [f"forced-{n}" for n in range(times(10, 3))]
    node.create(names)
    node.all_running(names)
    node.kubelet.stop(signal.SIGKILL)
    node.cluster.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    assert not node.pods()
    node.kubelet.start()
    took = node.settles(0)
    report("force-deleted while the agent was down", pods=len(names), cleaned_after_s=f"{took:.1f}")


def test_a_namesake_made_while_the_agent_was_cut_off_replaces_the_old_pod(node: Node) -> None:
    rounds = times(10, 1)
    for _ in range(rounds):
        node.create(["name"])
        old = node.all_running(["name"])["name"]
        _iptables(node, "-A")
        try:
            node.cluster.kubectl("delete", "pod", "name", "--force", "--grace-period=0")
            node.create(["name"])
            assert old in tasks(node), "cut off, it lets its pods run"
        finally:
            _iptables(node, "-D")
        new = node.all_running(["name"])["name"]
        assert new != old
        eventually(lambda old=old: old not in tasks(node), "the end of the old one")
        node.settles(1)
        node.delete_all()
    report("deleted and recreated under the same name while cut off", rounds=rounds)


def test_away_api_server_disturbs_nobody(node: Node) -> None:
    """Containers are restarted locally, static pods come and stay, and on return nobody is evicted."""
    names = [f"steady-{n}" for n in range(times(20, 5))]
    node.create(names)
    before = node.all_running(names)
    static = node.kubelet.static("unmoved", {"containers": [busybox(faults.IDLE)]})
    held = node.kubelet.running(static)["containerID"]
    node.cluster.stop(signal.SIGKILL)
    began, away = time.monotonic(), times(600, 10)
    victim = names[0]
    node.machine.ctr("tasks", "kill", "-s", "KILL", before[victim])
    again = eventually(
        lambda: node.kubelet.container(victim) if node.kubelet.container(victim)["restartCount"] == 1 else None,
        "the local restart",
    )
    assert again is not None and "running" in again["state"]
    late = node.kubelet.static("late", {"containers": [busybox(faults.IDLE)]})
    node.kubelet.running(late)
    while time.monotonic() - began < away:
        time.sleep(0.5)  # the outage itself is what is tested
        assert node.kubelet.running(static)["containerID"] == held
    node.cluster.start()
    took = node.becomes_ready()
    found = node.all_running(names)
    assert {name: found[name] for name in names[1:]} == {name: before[name] for name in names[1:]}
    assert [
        item["metadata"]["name"] for item in node.pods().values() if item["metadata"].get("deletionTimestamp")
    ] == []
    assert node.kubelet.running(static)["containerID"] == held
    eventually(lambda: {static, late} <= node.pods().keys(), "the mirror pods")
    for name in ("unmoved", "late"):
        node.kubelet.remove_static(name)
    report("API server away", seconds=away, pods=len(names) + 2, evicted=0, ready_after_s=f"{took:.1f}")


def sandboxes(node: Node) -> list[str]:
    return [line for line in node.machine.ctr("containers", "ls").splitlines() if "pause" in line]


def tasks(node: Node) -> list[str]:
    return node.machine.ctr("tasks", "ls", "-q").split()


def _iptables(node: Node, verb: str) -> None:
    """Cut the node off from the API server (-A), or join it again (-D)."""
    rules = (
        ["OUTPUT", "-p", "tcp", "--dport", "6443", "-j", "REJECT", "--reject-with", "tcp-reset"],
        ["INPUT", "-p", "tcp", "--sport", "6443", "-j", "DROP"],
    )
    for rule in rules:
        argv = ["ip", "netns", "exec", node.machine.name, "iptables", "--wait", verb, *rule]
        subprocess.run(argv, check=True, capture_output=True)
