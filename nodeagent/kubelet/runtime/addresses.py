"""No two pods of a node have one address, whatever a network plugin says: who came second is not started.

The plugins of others believe their own books, and those of two plugins, or one that was restored from a copy, may
disagree. Upstream's kubelet takes what it is told; then two pods answer for one address, and neither knows.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import ContainerNotFound

from .observe import sandbox_state
from .observer import Observer
from .state import READY, PodState, SandboxState

_NEVER = datetime.max.replace(tzinfo=UTC)


class AddressTaken(Exception):
    """A sandbox was given an address that another pod has; it is gone. The message names both."""


class Addresses:
    """Which sandbox has which addresses. Asks the runtime once about each sandbox that it did not hear of before."""

    def __init__(self, runtime: RuntimeService, observer: Observer) -> None:
        self._runtime, self._observer = runtime, observer
        self._known: dict[str, SandboxState] = {}
        self._admitted: set[str] = set()

    async def claim(self, state: PodState) -> None:
        """Take note of what a pod's new sandbox has, before anything runs in it; costs no call where nobody has the
        same. May be repeated; a sandbox that has containers, from before the agent began, is left as it is.

        Raises RuntimeCallError, and AddressTaken when a ready sandbox of another pod has one of its addresses and was
        there before: then the new one is stopped and removed, as the runtime does with one that it could not make."""
        sandbox = state.sandbox
        if sandbox is None or not sandbox.ips or sandbox.id in self._admitted:
            return
        if any(container.sandbox_id == sandbox.id for container in state.containers):
            return
        self._known[sandbox.id] = sandbox
        ended: set[str] = set()
        while True:
            # Between the look that finds nobody and the note that is made of it, nothing is awaited: of two that are
            # given one address at the same time, one sees the other.
            others = self._ready_but(state.uid) - ended
            self._forget_but({sandbox.id, *others})
            if strangers := [other for other in others if other not in self._known]:
                ended.update(await self._learn(strangers))
            elif (rival := self._rival(sandbox, others)) is None:
                self._admitted.add(sandbox.id)
                return
            elif (status := await self._status(rival)) is None or status.state != cri.SANDBOX_READY:
                ended.add(rival)  # its address was free before we were told that it has ended
            else:
                await self._runtime.stop_pod_sandbox(sandbox.id)
                await self._runtime.remove_pod_sandbox(sandbox.id)
                taken = next(ip for ip in sandbox.ips if ip in sandbox_state(status).ips)
                owner = f"{status.metadata.namespace}/{status.metadata.name}"
                words = f"{taken} is the address of pod {owner} (sandbox {rival[:13]})"
                raise AddressTaken(f'failed to setup network for sandbox "{sandbox.id}": {words}')

    def _ready_but(self, uid: str) -> set[str]:
        """The sandboxes of other pods, as they were last seen."""
        seen = self._observer.seen.items()
        return {box for other, found in seen if other != uid for box, how in found.items() if how == READY}

    def _rival(self, sandbox: SandboxState, others: set[str]) -> str | None:
        """Who has an address of the sandbox by right: those let in before, and of the others the older ones."""
        for other in sorted(others & self._known.keys()):
            state = self._known[other]
            if not set(state.ips).isdisjoint(sandbox.ips) and (other in self._admitted or _age(state) < _age(sandbox)):
                return other
        return None

    async def _learn(self, strangers: list[str]) -> list[str]:
        """Ask about sandboxes; returns those that are not there, or not ready, any more."""
        found = await asyncio.gather(*(self._status(one) for one in strangers))
        states = {status.id: sandbox_state(status) for status in found if status is not None}
        self._known.update({one: state for one, state in states.items() if state.ready})
        return [one for one in strangers if one not in states or not states[one].ready]

    async def _status(self, sandbox: str) -> cri.PodSandboxStatus | None:
        try:
            return await self._runtime.pod_sandbox_status(sandbox)
        except ContainerNotFound:
            return None

    def _forget_but(self, present: set[str]) -> None:
        self._known = {one: state for one, state in self._known.items() if one in present}
        self._admitted &= present


def _age(state: SandboxState) -> tuple[datetime, str]:
    return state.created_at or _NEVER, state.id
