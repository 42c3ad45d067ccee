"""Who may keep an address that two sandboxes were given."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nodeagent.cri import messages as cri
from nodeagent.cri.errors import ContainerNotFound
from nodeagent.kubelet.runtime.addresses import Addresses, AddressTaken
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.state import ContainerState, PodState, SandboxState, State

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Runtime:
    """Sandboxes with addresses, each a second younger than the one before; those of ended pods stay in the listing."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, cri.PodSandboxStatus] = {}
        self.asked: Counter[str] = Counter()
        self._ages = itertools.count()

    def add(self, pod: str, *ips: str, old: bool = False) -> PodState:
        """A pod's ready sandbox, whose id is the pod's name; what the observer would say of it."""
        age = -1 if old else next(self._ages)
        made = _BEGIN + timedelta(seconds=age)
        status = cri.PodSandboxStatus(id=pod, state=cri.SANDBOX_READY, created_at=int(made.timestamp()) * 10**9)
        status.metadata.name, status.metadata.namespace = pod, "default"
        if ips:
            status.network.ip = ips[0]
            status.network.additional_ips.extend(cri.PodIP(ip=ip) for ip in ips[1:])
        self.sandboxes[pod] = status
        return PodState(f"uid-{pod}", sandboxes=(SandboxState(pod, 0, ready=True, created_at=made, ips=ips),))

    def end(self, pod: str) -> None:
        self.sandboxes[pod].state = cri.SANDBOX_NOTREADY

    async def pod_sandbox_status(self, identity: str) -> cri.PodSandboxStatus:
        self.asked[identity] += 1
        await asyncio.sleep(0)
        if identity not in self.sandboxes:
            raise ContainerNotFound("PodSandboxStatus", "NOT_FOUND", identity)
        return self.sandboxes[identity]

    async def stop_pod_sandbox(self, identity: str) -> None:
        self.end(identity)

    async def remove_pod_sandbox(self, identity: str) -> None:
        assert self.sandboxes.pop(identity).state == cri.SANDBOX_NOTREADY


class Node:
    def __init__(self) -> None:
        self.runtime = Runtime()
        asked: Any = self.runtime
        self.observer = Observer(asked)
        self.addresses = Addresses(asked, self.observer)

    def see(self, *states: PodState) -> None:
        for state in states:
            for sandbox in state.sandboxes:
                self.observer.learn(state.uid, {sandbox.id: "ready"})

    async def claim(self, state: PodState) -> str:
        """Why not; empty when the pod may have its addresses."""
        self.see(state)
        try:
            await self.addresses.claim(state)
        except AddressTaken as error:
            return str(error)
        return ""


@pytest.fixture
def node() -> Node:
    return Node()


async def test_who_comes_second_is_refused_and_its_sandbox_is_gone(node: Node) -> None:
    assert not await node.claim(node.runtime.add("web", "10.1.0.2", "fd00::2"))
    refusal = await node.claim(node.runtime.add("liar", "10.1.0.3", "fd00::2"))
    assert refusal == (
        'failed to setup network for sandbox "liar": fd00::2 is the address of pod default/web (sandbox web)'
    )
    assert list(node.runtime.sandboxes) == ["web"]
    assert not await node.claim(node.runtime.add("honest", "10.1.0.3", "fd00::3"))


async def test_addresses_that_nobody_else_has_cost_no_call(node: Node) -> None:
    states = [node.runtime.add(f"pod{n}", f"10.1.0.{n}") for n in range(20)]
    for state in states:
        assert not await node.claim(state)
        assert not await node.claim(state)
    assert not node.runtime.asked


async def test_pods_of_the_hosts_network_claim_nothing(node: Node) -> None:
    assert not await node.claim(node.runtime.add("one"))
    assert not await node.claim(node.runtime.add("other"))


async def test_an_address_is_free_once_its_pod_has_ended(node: Node) -> None:
    for ending in (node.runtime.end, node.runtime.sandboxes.pop):
        name = ending.__name__
        await node.claim(node.runtime.add(f"before-{name}", "10.1.0.2"))
        ending(f"before-{name}")  # nobody has told us
        assert not await node.claim(node.runtime.add(f"after-{name}", "10.1.0.2"))
        node.observer.learn(f"uid-before-{name}", {})
        node.observer.learn(f"uid-after-{name}", {})


async def test_after_a_restart_the_runtime_is_asked_once_about_each(node: Node) -> None:
    old = [node.runtime.add(f"old{n}", f"10.1.0.{n}", old=True) for n in range(5)]
    gone = node.runtime.add("gone", "10.1.0.9", old=True)
    del node.runtime.sandboxes["gone"]
    node.see(*old, gone)
    assert "is the address of pod default/old3 " in await node.claim(node.runtime.add("liar", "10.1.0.3"))
    assert not await node.claim(node.runtime.add("new", "10.1.0.9"))
    # Once to know it, and the one that is in the way once more, in case that it has ended since.
    assert node.runtime.asked == Counter({f"old{n}": 1 + (n == 3) for n in range(5)}) + Counter(gone=2)


async def test_what_runs_already_is_left_alone(node: Node) -> None:
    await node.claim(node.runtime.add("web", "10.1.0.2"))
    again = node.runtime.add("other", "10.1.0.2")
    running = ContainerState("c", "main", State.RUNNING, sandbox_id="other")
    assert not await node.claim(PodState(again.uid, sandboxes=again.sandboxes, containers=(running,)))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_of_those_given_an_address_at_one_time_one_gets_it(node: Node, order: tuple[int, ...]) -> None:
    states = [node.runtime.add(f"pod{n}", "10.1.0.2") for n in range(3)]
    refusals = await asyncio.gather(*(node.claim(states[n]) for n in order))
    assert sorted(map(bool, refusals)) == [False, True, True]
    assert len(node.runtime.sandboxes) == 1
