"""Which definitions there are: follows the store, so that every server on it serves the same kinds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import CUSTOMRESOURCEDEFINITIONS, Catalogue, Resource
from apimachinery.meta.versions import preference
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.extensions.definition import Definition, build, source_of
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.storage.interface import Storage

log = logging.getLogger(__name__)

Object = dict[str, Any]


class Definitions:
    """Keeps the registry's catalogue true. `changed` is called with the name of a definition that came, changed or
    went."""

    def __init__(
        self, registry: Registry, storage: Storage, webhooks: WebhookClient, changed: Callable[[str], None]
    ) -> None:
        self._registry, self._webhooks, self._changed = registry, webhooks, changed
        self.feed = Feed(storage, CUSTOMRESOURCEDEFINITIONS, self.put, self.drop)
        self.stored: dict[str, Object] = {}
        self._served: dict[str, Definition] = {}
        self._closing: set[asyncio.Task[None]] = set()
        registry.look_again = self.look_again

    def put(self, obj: Object) -> None:
        """A definition as it is stored now."""
        name = obj["metadata"]["name"]
        self.stored[name] = obj
        self._serve(name, obj)
        self._changed(name)

    def drop(self, obj: Object) -> None:
        """A definition is gone."""
        name = obj["metadata"]["name"]
        self.stored.pop(name, None)
        self._serve(name, None)
        self._changed(name)

    async def look_again(self, group: str, version: str, plural: str) -> Resource | None:
        """A resource that the catalogue has not: another server may have established it a moment ago."""
        if not group or "." not in group:
            return None
        found = await self._registry.of(CUSTOMRESOURCEDEFINITIONS).store.find("", f"{plural}.{group}")
        if found is None:
            return None
        have = self.stored.get(found["metadata"]["name"])
        if have is None or have["metadata"].get("uid") == found["metadata"]["uid"]:
            found["metadata"].pop("resourceVersion", None)
            self._serve(found["metadata"]["name"], found)
        return self._registry.catalogue.find(group, version, plural)

    def _serve(self, name: str, obj: Object | None) -> None:
        before = self._served.get(name)
        if obj is not None and before is not None and before.source == source_of(obj):
            return
        after = build(obj, self._webhooks) if obj is not None else None
        if after is None and before is None:
            return
        if after is None:
            del self._served[name]
        else:
            self._served[name] = after
        stale = self._registry.serve(self._catalogue(), [each.stored for each in self._served.values()])
        for collection in stale:
            # What is being watched under the old shape ends; clients list and watch again (as upstream).
            closing = asyncio.create_task(collection.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _catalogue(self) -> Catalogue:
        defined = [each.resources[version] for each in self._served.values() for version in each.served]
        defined.sort(key=lambda each: (each.group, preference(each.version), each.plural))
        return Catalogue([*self._registry.own, *defined])
