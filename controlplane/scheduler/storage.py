"""Claims, volumes and classes as the scheduler sees them: what the watch shows, and what it has just decided itself."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    STORAGECLASSES,
)
from apimachinery.cache.informer import InformerFactory
from apimachinery.cache.overlay import Overlay
from apimachinery.meta import objects, volumes

Object = dict[str, Any]

_BY_CLASS = "class"


class Storage:
    """Answers from informers. Not for concurrent use: one event loop, no awaits inside the questions."""

    def __init__(self, informers: InformerFactory) -> None:
        claims, all_volumes = informers.get(PERSISTENTVOLUMECLAIMS), informers.get(PERSISTENTVOLUMES)
        all_volumes.lister.add_index(_BY_CLASS, lambda volume: (volumes.class_name(volume),))
        self.claims, self.volumes = Overlay(claims), Overlay(all_volumes)
        self._volumes = all_volumes.lister
        self._classes, self._nodes = informers.get(STORAGECLASSES).lister, informers.get(CSINODES).lister
        self._drivers, self._capacities = informers.get(CSIDRIVERS).lister, informers.get(CSISTORAGECAPACITIES).lister
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        claims.add_handler(self._told, on_delete=self._told)

    def volumes_of_class(self, name: str) -> list[Object]:
        """The volumes of a class."""
        return self.volumes.newest(self._volumes.by_index(_BY_CLASS, name))

    def storage_class(self, claim: Mapping[str, Any]) -> Object | None:
        """The class of a claim, if it has one that exists."""
        name = volumes.class_name(claim)
        return self._classes.get(name) if name else None

    def csi_node(self, name: str) -> Object | None:
        """What the drivers on a node say of it."""
        return self._nodes.get(name)

    def csi_driver(self, name: str) -> Object | None:
        """What a driver says of itself."""
        return self._drivers.get(name)

    def capacities(self, class_name: str) -> list[Object]:
        """The free storage that drivers have told for a class (KEP-1472)."""
        return [each for each in self._capacities.list() if each.get("storageClassName") == class_name]

    def watch_claim(self, key: str, event: asyncio.Event) -> None:
        """Set `event` at every change of the claim, until `unwatch_claim`."""
        self._waiters[key].add(event)

    def unwatch_claim(self, key: str, event: asyncio.Event) -> None:
        """End `watch_claim`."""
        self._waiters[key].discard(event)
        if not self._waiters[key]:
            del self._waiters[key]

    def _told(self, claim: Object) -> None:
        for event in self._waiters.get(objects.key(claim), ()):
            event.set()
