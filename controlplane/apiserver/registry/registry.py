"""Every resource that is stored, by its path: the collections and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime

from apimachinery.api.catalogue import CATALOGUE, Catalogue, Resource
from apimachinery.kit.clock import Clock
from apimachinery.meta import status, times
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import stored_resource
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.registry.object_counts import ObjectCounts
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
        own: Catalogue = CATALOGUE,
    ) -> None:
        self._storage, self._strategy, self._admission, self._clock = storage, strategy, admission, clock
        self.timeline = timeline
        self.counted = ObjectCounts(storage, clock)
        self._collections: dict[tuple[str, str], Collection] = {}
        self.own = own
        """What is served without any definition."""
        self.catalogue = own
        """Everything that is served now; another object whenever that changes."""
        self._defined: dict[tuple[str, str], Resource] = {}
        self.look_again: Callable[[str, str, str], Awaitable[Resource | None]] = _nothing_else
        """Asks the store for a resource (group, version, plural) that the catalogue has not yet."""

    def of(self, resource: Resource) -> Collection:
        """The collection behind a resource, whatever version was asked for."""
        stored = stored_resource(resource)
        key = stored.group, stored.plural
        if isinstance(stored, DefinedResource):
            stored = self._defined.get(key, stored)  # a request may have begun before the definition changed
        else:
            stored = self.own.find(stored.group, stored.version, stored.plural) or stored
        found = self._collections.get(key)
        if found is None:
            store = ObjectStore(stored, self._storage)
            found = Collection(store, self._strategy(stored), self._admission, self._clock)
            self._collections[key] = found
        return found

    def serve(self, catalogue: Catalogue, defined: Iterable[Resource]) -> list[Collection]:
        """From now on serve these. defined: the stored versions of what definitions made. Returns the collections of
        what is no longer so: closing them ends their watches."""
        self.catalogue = catalogue
        self._defined = {(each.group, each.plural): each for each in defined}
        stale = {
            key: each
            for key, each in self._collections.items()
            if isinstance(each.resource, DefinedResource) and self._defined.get(key) is not each.resource
        }
        for key in stale:
            del self._collections[key]
        return list(stale.values())

    def defined(self, group: str, plural: str) -> Resource | None:
        """The stored version of what a definition made, served or not; None for an unknown one."""
        return self._defined.get((group, plural))

    async def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at that path, or None."""
        return self.catalogue.find(group, version, plural) or await self.look_again(group, version, plural)

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
        for resource in self.catalogue:
            if "list" in resource.verbs and "create" in resource.verbs and stored_resource(resource) is resource:
                yield resource

    async def close(self) -> None:
        """End every watch."""
        await asyncio.gather(*(each.close() for each in self._collections.values()))


async def _nothing_else(group: str, version: str, plural: str) -> Resource | None:
    return None
