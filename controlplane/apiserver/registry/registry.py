"""Every resource that is stored, by its path: the collections and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime

from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.kit.clock import Clock
from apimachinery.meta import status, times
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import stored_resource
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.storage.interface import Storage
from controlplane.apiserver.storage.timeline import Timeline
from controlplane.apiserver.strategies.base import Strategy


class Registry:
    """`strategy` makes the strategy of a resource; `admission` may be set until the first request. `timeline` says what
    was the newest revision at a time."""

    def __init__(
        self,
        storage: Storage,
        strategy: Callable[[Resource], Strategy],
        admission: Chain,
        clock: Clock,
        timeline: Timeline,
    ) -> None:
        self._storage, self._strategy, self._admission, self._clock = storage, strategy, admission, clock
        self.timeline = timeline
        self._collections: dict[tuple[str, str], Collection] = {}

    def of(self, resource: Resource) -> Collection:
        """The collection behind a resource, whatever version was asked for."""
        stored = stored_resource(resource)
        key = stored.group, stored.plural
        found = self._collections.get(key)
        if found is None:
            store = ObjectStore(stored, self._storage)
            found = Collection(store, self._strategy(stored), self._admission, self._clock)
            self._collections[key] = found
        return found

    def revision_at(self, when: datetime) -> int:
        """The newest revision at that time. Raises ApiError 400 for a time to come, 410 for one no longer known."""
        if when > self._clock.now():
            raise status.bad_request(f"invalid resource version: {times.rfc3339(when)} has not come yet")
        found = self.timeline.at(when.timestamp())
        if found is None:
            raise status.expired(f"no revision is known for {times.rfc3339(when)}, it is too long ago")
        return found

    def stored(self) -> Iterator[Resource]:
        """Every resource that has a collection of its own, in the version that is stored."""
        for resource in CATALOGUE:
            if "list" in resource.verbs and "create" in resource.verbs and stored_resource(resource) is resource:
                yield resource

    async def close(self) -> None:
        """End every watch."""
        await asyncio.gather(*(each.close() for each in self._collections.values()))
