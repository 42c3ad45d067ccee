"""What the runtime's events and listings wake, and that no storm of events makes many questions of few pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from apimachinery.kit.clock import Clock, ManualClock, SystemClock
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import ContainerNotFound
from nodeagent.cri.events import TaskEvent
from nodeagent.kubelet.pleg import SETTLING_MOST, Pleg
from nodeagent.kubelet.runtime import labels
from nodeagent.kubelet.runtime.observer import Observer


class Runtime:
    """Containers that all run until `ended`; one a pod, both called by the same number."""

    def __init__(self, many: int) -> None:
        self.many, self.ended = many, False
        self.asked = self.most = self.listed = self._now = 0

    @property
    def _state(self) -> Any:
        return cri.CONTAINER_EXITED if self.ended else cri.CONTAINER_RUNNING

    async def list_pod_sandboxes(self) -> list[cri.PodSandbox]:
        return []

    async def list_containers(self) -> list[cri.Container]:
        self.listed += 1
        return [
            cri.Container(id=f"c{n}", state=self._state, labels={labels.POD_UID: f"p{n}"}) for n in range(self.many)
        ]

    async def container_status(self, identity: str) -> cri.ContainerStatus:
        self._now += 1
        self.most, self.asked = max(self.most, self._now), self.asked + 1
        await asyncio.sleep(0)
        self._now -= 1
        return cri.ContainerStatus(id=identity, state=self._state)

    async def pod_sandbox_status(self, identity: str) -> cri.PodSandboxStatus:
        raise ContainerNotFound("PodSandboxStatus", "NOT_FOUND", identity)


async def listed(
    runtime: Runtime, looks: Callable[[str], bool] = lambda _uid: True, clock: Clock | None = None
) -> tuple[Pleg, set[str], Observer]:
    """What watches the runtime, after its first listing; whom it wakes from then on; what it remembers."""
    channel: Any = None
    asked: Any = runtime
    woken: set[str] = set()
    observer = Observer(asked)
    watcher = Pleg(channel, asked, observer, woken.add, clock or SystemClock(), looks)
    await watcher.relist()
    woken.clear()
    return watcher, woken, observer


async def until(look: Any) -> None:
    async with asyncio.timeout(60):
        while not look():
            await asyncio.sleep(0.01)


async def test_a_storm_of_ends_is_told_by_a_listing() -> None:
    runtime = Runtime(5000)
    watcher, woken, _ = await listed(runtime)
    runtime.ended = True
    for n in range(runtime.many):
        watcher.heard(TaskEvent("exit", f"c{n}", f"c{n}"))
    await until(lambda: len(woken) == SETTLING_MOST)
    assert runtime.most <= SETTLING_MOST and runtime.asked <= SETTLING_MOST
    await watcher.relist()
    assert len(woken) == runtime.many


async def test_an_end_is_looked_at_until_the_runtime_shows_it() -> None:
    runtime = Runtime(1)
    watcher, woken, _ = await listed(runtime)
    watcher.heard(TaskEvent("exit", "c0", "c0"))
    await until(lambda: runtime.asked >= 2)
    assert not woken
    runtime.ended = True
    await until(lambda: woken == {"p0"})


async def test_an_end_that_a_worker_has_seen_is_not_asked_about() -> None:
    runtime = Runtime(1)
    watcher, woken, observer = await listed(runtime)
    watcher.heard(TaskEvent("exit", "c0", "c0"))
    await until(lambda: runtime.asked >= 1)
    observer.learn("p0", {"c0": "Exited"})
    settled = asyncio.all_tasks() - {asyncio.current_task()}
    async with asyncio.timeout(60):
        await asyncio.gather(*settled)
    assert not woken


async def test_the_ends_of_pods_that_are_being_ended_are_not_asked_about() -> None:
    runtime = Runtime(2)
    wanted = {"p0"}
    watcher, woken, _ = await listed(runtime, wanted.__contains__)
    before = asyncio.all_tasks()
    watcher.heard(TaskEvent("exit", "c1", "c1"))
    assert asyncio.all_tasks() == before, "nothing is to come of it"
    watcher.heard(TaskEvent("exit", "c0", "c0"))
    await until(lambda: runtime.asked >= 1)
    wanted.clear()  # deleted while its end is waited for
    async with asyncio.timeout(60):
        await asyncio.gather(*(asyncio.all_tasks() - before))
    assert not woken


async def test_ends_of_strangers_cost_a_listing_in_all() -> None:
    runtime = Runtime(1)
    watcher, woken, _ = await listed(runtime)
    runtime.many = 2
    for n in range(500):
        watcher.heard(TaskEvent("exit", f"stranger{n}", f"stranger{n}"))
    before = asyncio.all_tasks()
    assert len(before) == 2, "one listing is to come for them all"
    assert (runtime.asked, runtime.listed, woken) == (0, 1, set())
    for task in before - {asyncio.current_task()}:
        task.cancel()


async def test_an_end_that_was_heard_before_anybody_looked() -> None:
    runtime = Runtime(1)
    watcher, woken, observer = await listed(runtime)
    runtime.many, runtime.ended = 2, True
    watcher.heard(TaskEvent("exit", "c1", "c1"))
    observer.learn("p1", {"c1": "Running"})
    await until(lambda: woken == {"p1"})
    assert runtime.listed == 1, "without a listing"


class KilledPod(Runtime):
    """Of which the container has been killed, and the sandbox is next."""

    def __init__(self) -> None:
        super().__init__(1)
        self.stopped = False

    async def list_pod_sandboxes(self) -> list[cri.PodSandbox]:
        return [cri.PodSandbox(id="s0", state=cri.SANDBOX_READY, labels={labels.POD_UID: "p0"})]

    async def container_status(self, identity: str) -> cri.ContainerStatus:
        self.asked += 1
        return cri.ContainerStatus(id=identity, state=cri.CONTAINER_EXITED, exit_code=137)

    async def pod_sandbox_status(self, identity: str) -> cri.PodSandboxStatus:
        return cri.PodSandboxStatus(id=identity, state=cri.SANDBOX_NOTREADY if self.stopped else cri.SANDBOX_READY)


async def test_a_killed_container_is_told_of_with_its_sandbox() -> None:
    """`crictl stopp` kills the containers first: none is to be started again in a sandbox that is going."""
    runtime, clock = KilledPod(), ManualClock()
    watcher, woken, observer = await listed(runtime, clock=clock)
    watcher.heard(TaskEvent("exit", "c0", "c0"))
    await clock.advance(0.05)
    assert runtime.asked and not woken
    runtime.stopped = True
    watcher.heard(TaskEvent("exit", "s0", "s0"))
    await clock.advance(0.1)
    assert woken == {"p0"}
    observer.learn("p0", {"c0": "Exited", "s0": "NotReady"})  # its worker looks
    woken.clear()
    await clock.advance(2.0)
    assert not woken, "told once"


async def test_a_killed_container_whose_sandbox_stays_is_told_of_soon_after() -> None:
    runtime, clock = KilledPod(), ManualClock()
    watcher, woken, _ = await listed(runtime, clock=clock)
    watcher.heard(TaskEvent("exit", "c0", "c0"))
    await clock.advance(0.05)
    assert not woken
    await clock.advance(0.05)
    assert woken == {"p0"}
