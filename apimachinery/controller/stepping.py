"""A controller's loop in its component's glass box."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from apimachinery.kit.trace import use

from .glassbox import describe_queue
from .loop import Controller

Object = dict[str, Any]

Rehearse = Callable[[str], Awaitable[Object]]
"""Tells what the turn of a key would do, and changes nothing."""

_REHEARSAL_SECONDS = 20.0


class ControllerLoop:
    """`controller` as a Loop. namespaced: its keys are `namespace/name`, all of them."""

    def __init__(self, controller: Controller, rehearse: Rehearse, *, namespaced: bool) -> None:
        self.name, self._controller, self._rehearse = controller.name, controller, rehearse
        self._namespaced = namespaced

    def describe(self) -> Object:
        queue = self._controller.queue
        return {
            **describe_queue(
                self.name,
                paused=self._controller.paused,
                ready=queue.waiting(),
                working=queue.working(),
                later=[asdict(each) for each in queue.later()],
            ),
            "namespaced": self._namespaced,
        }

    def pause(self) -> None:
        """See Controller.pause."""
        self._controller.pause()

    def resume(self) -> None:
        self._controller.resume()

    async def rehearse(self, key: str) -> Object:
        """See Loop.rehearse. A key that is named need not be in the queue."""
        key = key or next(iter(self._controller.queue.waiting()), "")
        if not key:
            return {}

        async def alone() -> Object:
            use(None)  # what is only tried is no part of what happened
            async with asyncio.timeout(_REHEARSAL_SECONDS):
                return await self._rehearse(key)

        return {"key": key, **await asyncio.create_task(alone())}

    async def step(self, key: str) -> Object:
        """See Loop.step. A key that is not in the queue is added."""
        outcome = await self._controller.step(key)
        if outcome is None and key and key not in self._controller.queue.working():
            self._controller.queue.add(key)
            outcome = await self._controller.step(key)
        return asdict(outcome) if outcome is not None else {}
