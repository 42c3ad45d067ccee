"""Follows every pod in the order in which the API server stored it, and keeps account of what must never happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import PODS
from apimachinery.client.rest import Client
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import objects, pods, quantity
from apimachinery.meta.status import ApiError
from tests.integration.pod_follower import PodFollower, family
from tests.integration.simulation import Fleet

Object = dict[str, Any]


class Auditor(PodFollower):
    """cpu: of the nodes, by name, in thousandths. violations: what has happened and must not."""

    def __init__(self, client: Client, fleet: Fleet) -> None:
        super().__init__(client)
        self._fleet = fleet
        self.cpu: dict[str, int] = {}
        self.violations: list[str] = []
        self._places: dict[str, str] = {}
        # By namespace, kind and name of who wants pods: the most that were asked for, and that counted, since `mark`.
        self._wanted: dict[tuple[str, str, str], int] = {}
        self._most: dict[tuple[str, str, str], int] = {}
        self._least: dict[tuple[str, str], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aexit__(self, *problem: object) -> None:
        await super().__aexit__(*problem)
        await cancel_and_wait(*self._tasks)

    def want(self, owner: tuple[str, str, str], count: int) -> None:
        """So many pods of `owner` are asked for from now on, or sooner. Say so before the API server hears of it."""
        self._wanted[owner] = max(self._wanted.get(owner, 0), count)

    def mark(self, owner: tuple[str, str, str], count: int) -> None:
        """All is at rest, and so many are allowed now: forget what was asked for before."""
        self._wanted[owner] = count
        self._most[owner] = self._count(owner)

    def too_many(self) -> list[str]:
        """Who had more pods than was ever allowed."""
        return [
            f"{owner}: {self._most[owner]} pods at once, {count} were allowed at most"
            for owner, count in self._wanted.items()
            if self._most.get(owner, 0) > count
        ]

    def watch_least(self, namespace: str, app: str) -> Callable[[], int]:
        """From now on, keep account of the fewest ready pods with that label; the answer tells, and ends it."""
        key = (namespace, app)
        self._least[key] = self._ready(*key)
        return lambda: self._least.pop(key)

    async def caught_up(self) -> bool:
        """Whether every pod has been seen as it is."""
        self.check()
        listed = (await self._client.list(PODS))["items"]
        there = {objects.uid(pod): objects.resource_version(pod) for pod in listed}
        return there == {uid: objects.resource_version(pod) for uid, pod in self.pods.items()}

    def saw(self, pod: Object, twin: bool) -> None:
        uid, name, node = objects.uid(pod), objects.key(pod), pods.node_name(pod)
        if twin:
            self.violations.append(f"two pods of the name {name} at once")
        if node and self._places.setdefault(uid, node) != node:
            self.violations.append(f"{name} was bound to {self._places[uid]} and to {node}")
        if node in self.cpu and pods.is_active(pod):
            here = [each for each in self.pods.values() if pods.node_name(each) == node]
            used = sum(_requested(each) for each in here if not pods.is_terminal(each))
            if used > self.cpu[node]:
                self.violations.append(f"{node} has {self.cpu[node]}m of CPU and pods that ask for {used}m: {name}")
        owner = (objects.namespace(pod), *family(pod))
        self._most[owner] = max(self._most.get(owner, 0), self._count(owner))
        self._note_fewest(pod)
        self._end(pod)

    def lost(self, pod: Object) -> None:
        self._note_fewest(pod)

    def _count(self, owner: tuple[str, str, str]) -> int:
        mine = (each for each in self.pods.values() if (objects.namespace(each), *family(each)) == owner)
        return sum(map(pods.is_active, mine))

    def _note_fewest(self, pod: Object) -> None:
        key = (objects.namespace(pod), objects.labels(pod).get("app", ""))
        if key in self._least:
            self._least[key] = min(self._least[key], self._ready(*key))

    def _ready(self, namespace: str, app: str) -> int:
        mine = (
            p for p in self.pods.values() if objects.namespace(p) == namespace and objects.labels(p).get("app") == app
        )
        return sum(pods.is_active(pod) and pods.is_ready(pod) for pod in mine)

    def _end(self, pod: Object) -> None:
        """Containers of Jobs end as their label says."""
        outcome = objects.labels(pod).get("outcome")
        if outcome in ("ok", "fail") and pods.phase(pod) == "Running" and not objects.is_deleting(pod):
            task = asyncio.create_task(self._finish(pod, "Succeeded" if outcome == "ok" else "Failed"))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(self, pod: Object, phase: str) -> None:
        with contextlib.suppress(ApiError):  # it went meanwhile
            await self._fleet.finish(pod, phase)


def _requested(pod: Object) -> int:
    requests = (container.get("resources", {}).get("requests", {}) for container in pod["spec"]["containers"])
    return sum(quantity.milli(each.get("cpu", "0")) for each in requests)
