"""Whose turn it is to be ended: sidecars outlive those that they serve (kuberuntime_termination_order.go, KEP-753)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from apimachinery.kit.clock import Clock
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod


class EndingOrder:
    """A sidecar's turn comes when all regular containers have ended, and the sidecars after it.

    running: names of the containers that are to be ended; nobody waits for others.
    """

    def __init__(self, pod: Pod, running: Collection[str], clock: Clock) -> None:
        self._clock = clock
        self._ended = {name: asyncio.Event() for name in running}
        self._before: dict[str, list[asyncio.Event]] = {}
        earlier = [container["name"] for container in pods.regular_containers(pod)]
        for container in reversed(pods.init_containers(pod)):
            if pods.is_sidecar(container):
                self._before[container["name"]] = [self._ended[name] for name in earlier if name in self._ended]
                earlier.append(container["name"])

    async def turn(self, name: str, grace: int) -> None:
        """Wait for the container's turn, but not longer than `grace` seconds."""
        before = self._before.get(name)
        if not before or grace <= 0:
            return
        patience = asyncio.ensure_future(self._clock.sleep(grace))
        turn = asyncio.ensure_future(_all_set(before))
        try:
            await asyncio.wait((turn, patience), return_when=asyncio.FIRST_COMPLETED)
        finally:
            turn.cancel()
            patience.cancel()

    def ended(self, name: str) -> None:
        """The container runs no more."""
        self._ended[name].set()


async def _all_set(events: Collection[asyncio.Event]) -> None:
    for event in events:
        await event.wait()
