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

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import ApiUnreachable, Client, WatchEvent
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError
from controlplane.controllers.context import Context
from controlplane.controllers.wire import run_controllers
from tests.integration.pod_follower import PodFollower, family
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
            config = self._cluster.client.config  # without accounts for its controllers a manager needs every right
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


class Observer(PodFollower):
    """Counts pods. most: the most pods of each controller's owner that counted at once, by kind and name of the owner
    above ReplicaSets. twins: names that two pods had at the same time."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.most: dict[tuple[str, str], int] = {}
        self.twins: list[str] = []

    def saw(self, pod: Object, twin: bool) -> None:
        if twin:
            self.twins.append(objects.key(pod))
        owner = family(pod)
        active = sum(pods.is_active(each) and family(each) == owner for each in self.pods.values())
        self.most[owner] = max(self.most.get(owner, 0), active)
