"""One resource as it is served: where its objects are, what is special about them, and what watches over writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from apimachinery.api.catalogue import Resource
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from apimachinery.meta.paths import Problem
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.registry.conversion import converted_all
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.registry.shown import Shown
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.storage.cacher import Cacher
from controlplane.apiserver.strategies.base import Strategy

Object = dict[str, Any]
Attributes = tuple[Mapping[str, str], Mapping[str, str]]
"""An object's labels and its selectable fields: what selectors look at."""
LABEL, FIELD = "label", "field"


def attribute(attributes: Attributes, name: str) -> str:
    """One of them, as Selection.pin names it; "" when the object has none."""
    kind, _, key = name.partition(":")
    return attributes[0 if kind == LABEL else 1].get(key, "")


class Collection:
    """`store` and `strategy` are of the stored version; calls may come in any version of the group.

    The watch cache is started by the first read: a resource nobody looks at costs nothing.
    """

    def __init__(self, store: ObjectStore, strategy: Strategy, admission: Chain, clock: Clock) -> None:
        self.store, self.strategy, self.admission, self.clock = store, strategy, admission, clock
        self._cache: Cacher[Attributes] | None = None
        self._shown: dict[DefinedResource, Shown[Attributes]] = {}

    @property
    def resource(self) -> Resource:
        """The resource in the version that is stored."""
        return self.store.resource

    @property
    def cache(self) -> Cacher[Attributes]:
        """The watch cache, filling or filled."""
        if self._cache is None:
            self._cache = Cacher(
                self.store.storage,
                self.store.prefix(),
                self._attributes,
                value=attribute,
                resource=self.resource.group_resource,
                clock=self.clock,
            )
            self._cache.start()
        return self._cache

    def shown(self, resource: DefinedResource) -> Shown[Attributes]:
        """The cache's entries in that version."""
        found = self._shown.get(resource)
        if found is None:
            convert = partial(converted_all, resource=resource)
            as_is = resource.api_version if resource.rules.settled else ""
            found = Shown(convert, self._attributes, lambda: self.cache.size, as_is)
            self._shown[resource] = found
        return found

    async def close(self) -> None:
        """End all watches of this resource."""
        if self._cache is not None:
            await self._cache.close()

    def remembered(self, namespace: str, name: str) -> Object | None:
        """The object as the watch cache has it, a new dict; it may be behind. None when there is none, or no cache."""
        entry = self._cache.peek(self.store.key(namespace, name)) if self._cache is not None else None
        return orjson.loads(entry.served) if entry is not None else None

    def _attributes(self, served: bytes) -> Attributes:
        obj = orjson.loads(served)
        return obj["metadata"].get("labels") or {}, self.strategy.fields(obj)

    def refuse(self, name: str, problems: list[Problem]) -> None:
        """Raises ApiError 422 when there are problems."""
        if problems:
            raise status.invalid(self.resource, name, problems)
