"""Faults between the controllers and a real API server, by a seed: what the network and a busy server do to a client.

Requests are refused, lost, or done without an answer; answers and events come late; events come twice; watches break.
The manager can be killed at any of its writes, as by kill -9: the write may be done, and nothing follows it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apimachinery.api.catalogue import PODS
from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import ApiUnreachable, Client, WatchEvent
from apimachinery.controller.glassbox import GlassBox
from apimachinery.controller.owners import controller_of
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError
from controlplane.controllers.context import Context
from controlplane.controllers.wire import run_controllers
from tests.integration.simulation import Simulation

Object = dict[str, Any]


@dataclass(slots=True)
class Faults:
    """Probabilities per request or event. kill_within: the manager dies at one of its next so many writes; 0: never."""

    seed: int = 0
    refuse: float = 0.0
    lose: float = 0.0  # half of them before the server has them, half after
    late: float = 0.0  # up to `lateness` seconds
    lateness: float = 0.2
    twice: float = 0.0
    cut: float = 0.0
    kill_within: int = 0


_REFUSALS = ((409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable"))


class FaultyClient(Client):
    """A client with faults. killed: called when the manager is dead: nothing more is sent, and what was on its way
    has arrived."""

    def __init__(
        self,
        config: ClientConfig,
        faults: Faults,
        dice: random.Random,
        killed: Callable[[], None],
        writes: Counter[str],
    ) -> None:
        super().__init__(config, "kube-controller-manager")
        self._faults, self._dice, self._killed, self._writes = faults, dice, killed, writes
        self._writes_left = dice.randint(1, faults.kill_within) if faults.kill_within else -1
        self._flying = 0
        self.dead = False

    async def _sent(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> bytes:
        dice = self._dice
        if self.dead:
            raise ApiUnreachable("killed")
        if method != "GET" and "/events" not in path:
            self._writes_left -= 1
            self._writes[f"{method} {path}"] += 1
            if self._writes_left == 0:
                self.dead = True
                if dice.random() < 0.5:  # the write is not on its way yet
                    self._bury()
                    raise ApiUnreachable("killed")
        self._flying += 1
        try:
            return await self._perhaps(method, path, query, body, content_type)
        finally:
            self._flying -= 1
            self._bury()

    async def _perhaps(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> bytes:
        dice, faults = self._dice, self._faults
        if dice.random() < faults.late:
            await asyncio.sleep(dice.random() * faults.lateness)
        if dice.random() < faults.refuse:
            code, reason = dice.choice(_REFUSALS)
            raise ApiError(code, reason, f"injected {reason}")
        lost = dice.random() < faults.lose
        if lost and dice.random() < 0.5:
            raise ApiUnreachable(f"injected: {method} {path} never arrived")
        answer = await super()._sent(method, path, query, body, content_type)
        if lost:
            raise ApiUnreachable(f"injected: the answer to {method} {path} was lost")
        return answer

    def _bury(self) -> None:
        """A process that is killed takes nothing back of what it has sent."""
        if self.dead and not self._flying:
            self._killed()

    async def watch(self, *args: Any, **options: Any) -> AsyncIterator[WatchEvent]:
        dice, faults = self._dice, self._faults
        async for event in super().watch(*args, **options):
            if dice.random() < faults.late:
                await asyncio.sleep(dice.random() * faults.lateness)
            yield event
            if dice.random() < faults.twice:
                yield event
            if dice.random() < faults.cut:
                raise ApiError(410, "Expired", "injected") if dice.random() < 0.3 else ApiUnreachable("injected cut")


class Manager:
    """A controller manager with faults: killed, it is started anew at once, until `heal` or the end."""

    def __init__(self, cluster: Simulation, faults: Faults, clock: Clock | None = None) -> None:
        self._cluster, self._faults, self._clock = cluster, faults, clock or SystemClock()
        self._dice = random.Random(faults.seed)
        self._task: asyncio.Task[None] | None = None
        self.deaths = 0
        self.writes = Counter[str]()

    async def __aenter__(self) -> Manager:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        await cancel_and_wait(self._task)

    def heal(self) -> None:
        """No more faults from the next request on; a manager that is to die still does."""
        calm = Faults(self._faults.seed)
        for name in calm.__slots__:
            setattr(self._faults, name, getattr(calm, name))

    async def _run(self) -> None:
        while True:
            dead = asyncio.Event()
            config = self._cluster.controllers.client
            async with FaultyClient(config, self._faults, self._dice, dead.set, self.writes) as client:
                context = Context(client, self._cluster.controllers, self._clock)
                running = asyncio.create_task(run_controllers(context, GlassBox(Trace("kube-controller-manager"))))
                dying = asyncio.create_task(dead.wait())
                try:
                    await asyncio.wait((running, dying), return_when=asyncio.FIRST_COMPLETED)
                    if running.done():
                        running.result()
                        raise AssertionError("the controllers ended by themselves")
                    self.deaths += 1
                finally:
                    await cancel_and_wait(running, dying)


class JumpingClock(SystemClock):
    """The machine's clocks with a wall clock that somebody sets."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class Observer:
    """Follows all pods in the order in which the API server stored them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pods: dict[str, Object] = {}
        # The most pods of each controller's owner that counted at once, by (kind, name of the owner above ReplicaSets).
        self.most: dict[tuple[str, str], int] = {}
        # Names that two pods had at the same time, and how many pods there ever were.
        self.twins: list[str] = []
        self.uids: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Observer:
        listed = await self._client.list(PODS)
        for pod in listed["items"]:
            self._see(pod)
        self._task = asyncio.create_task(self._follow(listed["metadata"]["resourceVersion"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        await cancel_and_wait(self._task)

    async def _follow(self, version: str) -> None:
        async for event in self._client.watch(PODS, resource_version=version, bookmarks=False, timeout_seconds=600):
            if event.type == "DELETED":
                self._pods.pop(objects.uid(event.object), None)
            else:
                self._see(event.object)
        raise AssertionError("the observer's watch ended")

    def _see(self, pod: Object) -> None:
        uid, name = objects.uid(pod), objects.key(pod)
        self.uids.add(uid)
        if any(objects.key(other) == name and objects.uid(other) != uid for other in self._pods.values()):
            self.twins.append(name)
        self._pods[uid] = pod
        owner = family(pod)
        active = sum(pods.is_active(each) and family(each) == owner for each in self._pods.values())
        self.most[owner] = max(self.most.get(owner, 0), active)


def family(pod: Object) -> tuple[str, str]:
    """The kind and name of who wants the pod; of a ReplicaSet's pods the Deployment."""
    reference = controller_of(pod) or {"kind": "", "name": ""}
    if reference["kind"] == "ReplicaSet":
        return "Deployment", reference["name"].rpartition("-")[0]
    return reference["kind"], reference["name"]
