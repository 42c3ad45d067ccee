"""containerd killed, stopped, and robbed of its shims, under running pods; and a clock that jumps."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.kubelet import faults
from tests.netns.kubelet.agent import eventually
from tests.netns.kubelet.faults import Node, report, restarts, times


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with faults.node("flt-runtime") as made:
        yield made


@pytest.fixture(autouse=True)
def _empty(node: Node) -> Iterator[None]:
    yield
    with contextlib.suppress(ProcessLookupError):
        os.kill(node.machine.containerd_pid, signal.SIGCONT)
    node.delete_all()
    node.settles(0)


def test_restarts_of_containerd_lose_no_container(node: Node) -> None:
    names = [f"held-{n}" for n in range(times(50, 10))]
    node.create(names)
    before = node.all_running(names, 240)
    rounds = times(6, 2)
    for turn in range(rounds):
        os.kill(node.machine.containerd_pid, signal.SIGKILL if turn % 2 == 0 else signal.SIGTERM)
        node.machine.restart_containerd()
    took = node.becomes_ready()
    assert node.all_running(names) == before
    assert {restarts(item) for item in node.pods().values()} == {0}
    node.settles(len(names))
    assert any(node.kubelet.restarted_by_event(name) for name in names[:5]), "the events are heard again"
    report("containerd restarted", rounds=rounds, pods=len(names), containers_lost=0, ready_after_s=f"{took:.1f}")


def test_ends_that_no_event_tells_of_are_found_by_listing(node: Node) -> None:
    """While containerd is down nobody publishes events; and a storm of them may drown some."""
    names = [f"quiet-{n}" for n in range(times(30, 6))]
    node.create(names)
    before = node.all_running(names)
    pids = {name: _pid_of(node, held) for name, held in before.items()}
    os.kill(node.machine.containerd_pid, signal.SIGKILL)
    for name in names[::2]:
        os.kill(pids[name], signal.SIGKILL)
    node.machine.restart_containerd()
    began = time.monotonic()
    eventually(lambda: [node.kubelet.container(name)["restartCount"] for name in names] == [1, 0] * (len(names) // 2),
               "a restart of each that ended")  # fmt: skip
    unheard = time.monotonic() - began
    for name in names[1::2]:
        os.kill(pids[name], signal.SIGKILL)
    began = time.monotonic()
    eventually(lambda: {node.kubelet.container(name)["restartCount"] for name in names} == {1}, "the rest")
    storm = time.monotonic() - began
    assert set(node.all_running(names).values()).isdisjoint(before.values())
    node.settles(len(names))
    report("ends without events", pods=len(names), found_after_s=f"{unheard:.1f}", storm_over_after_s=f"{storm:.1f}")


def test_a_containerd_that_does_not_answer_makes_the_node_unready_and_starts_nothing_twice(node: Node) -> None:
    names = [f"frozen-{n}" for n in range(times(10, 4))]
    node.create(names)
    before = node.all_running(names)
    os.kill(node.machine.containerd_pid, signal.SIGSTOP)
    began = time.monotonic()
    node.create(["meanwhile"])
    unready = eventually(lambda: found if (found := node.ready())["status"] == "False" else None, "NotReady")
    noticed = time.monotonic() - began
    assert unready is not None and unready["reason"] == "KubeletNotReady"
    assert "container runtime is down" in unready["message"], unready["message"]
    while time.monotonic() - began < times(180, 20):
        time.sleep(0.5)  # the silence itself is what is tested
        assert node.kubelet.get("/healthz") == b"ok"
    os.kill(node.machine.containerd_pid, signal.SIGCONT)
    took = node.becomes_ready()
    found = node.all_running([*names, "meanwhile"])
    assert {name: found[name] for name in names} == before
    assert {restarts(item) for item in node.pods().values()} == {0}
    node.settles(len(names) + 1)
    report(
        "containerd stopped", seconds=times(180, 20), not_ready_after_s=f"{noticed:.1f}",
        ready_after_s=f"{took:.1f}", started_twice=0,
    )  # fmt: skip


def test_a_killed_shim_ends_its_pod_alone_and_the_pod_comes_back(node: Node) -> None:
    rounds, slowest = times(10, 1), 0.0
    node.create(["bystander"])
    stays = node.all_running(["bystander"])
    # A pod for each, or the waits of a crash loop would be measured.
    victims = [f"victim-{turn}" for turn in range(rounds)]
    for victim in victims:
        node.create([victim])
        held = node.all_running([victim])[victim]
        began = time.monotonic()
        os.kill(_shim_of(node, held), signal.SIGKILL)
        eventually(
            lambda victim=victim, held=held: node.all_running([victim])[victim] != held,
            f"the return of {victim}",
        )
        slowest = max(slowest, time.monotonic() - began)
        assert node.all_running(["bystander"]) == stays
    node.settles(1 + rounds)
    assert restarts(node.pods()["bystander"]) == 0
    report("shim killed", rounds=rounds, others_disturbed=0, slowest_return_s=f"{slowest:.1f}")


def _pid_of(node: Node, container: str) -> int:
    line = next(line for line in node.machine.ctr("tasks", "ls").splitlines() if line.startswith(container))
    return int(line.split()[1])


def _shim_of(node: Node, container: str) -> int:
    """The shim that serves a container: the parent of its first process."""
    status = Path(f"/proc/{_pid_of(node, container)}/status").read_text()
    return int(next(row for row in status.splitlines() if row.startswith("PPid:")).split()[1])
