"""The controllers, all of them at work in this process, and their glass box: for tests of `kubelab step`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apimachinery.api.catalogue import PODS, SERVICEACCOUNTS
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.wire import run_controllers
from tests.integration.faults import JumpingClock
from tests.integration.simulation import Simulation, simulated_cluster

Object = dict[str, Any]


class LeapingClock(JumpingClock):
    """The machine's clocks; of the monotonic one somebody skips seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


class Stepped:
    """What a test is given."""

    def __init__(self, cluster: Simulation) -> None:
        self.cluster, self.client = cluster, cluster.client
        self.box, self.clock = GlassBox(Trace("kube-controller-manager")), LeapingClock()

    async def loops(self) -> list[Object]:
        found: list[Object] = (await self.box.answer("GET", "loops", {}))["loops"]
        return found

    async def tell(self, loop: str, what: str, key: str = "") -> Any:
        return await self.box.answer("POST", f"loops/{loop}/{what}", {"key": key})

    async def rehearsed(self, loop: str, key: str, writes: list[str]) -> Object:
        """Wait until it would write just that."""

        async def look() -> Object | None:
            told: Object = await self.tell(loop, "rehearse", key)
            found = [f"{each['method']} {each['path']}" for each in told.get("writes") or ()]
            return told if found == writes else None

        answer: Object = await self.cluster.eventually(look, f"{loop} would {writes}")
        return answer

    async def create_pod(self, body: Object) -> Object:
        """Of the namespace default, as soon as pods may be made there."""

        async def account() -> Object | None:
            try:
                return await self.client.get(SERVICEACCOUNTS, "default", "default")
            except ApiError as error:
                assert is_not_found(error)
                return None

        await self.cluster.eventually(account, "a service account")
        return await self.client.create(PODS, body, "default")


@asynccontextmanager
async def stepping(directory: Path, *paused: str) -> AsyncIterator[Stepped]:
    """paused: loops that do nothing by themselves from the beginning."""
    async with simulated_cluster(directory, controllers=False, scheduler=False) as cluster:
        made = Stepped(cluster)
        # Without accounts for its controllers a manager needs every right.
        async with Client(cluster.client.config, "kube-controller-manager") as client:
            context = Context(client, cluster.controllers, made.clock)
            running = asyncio.create_task(run_controllers(context, made.box))

            async def there() -> bool:
                return bool((await made.box.answer("GET", "loops", {}))["leading"])

            await cluster.eventually(there, "the loops")
            for loop in paused:
                await made.tell(loop, "pause")
            try:
                yield made
            finally:
                await cancel_and_wait(running)
