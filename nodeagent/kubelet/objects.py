"""ConfigMaps and Secrets that pods name, read when needed and kept for a while.

What starts gets what the API has now: whoever changes a ConfigMap and restarts its pods sees the change. The volumes
of running pods see it within the time to live plus their resync; upstream watches, and needs the resync alone. When the
API is away, what was read before is served.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import CONFIGMAPS, SECRETS, Resource
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.meta.status import ApiError, is_not_found

Object = dict[str, Any]

_FORGOTTEN = 600.0  # seconds
_KINDS: dict[str, Resource] = {"configMap": CONFIGMAPS, "secret": SECRETS}


class ApiAway(Exception):
    """The API cannot be asked and nothing was kept; try again later."""


@dataclass(slots=True)
class _Kept:
    object: Object | None
    read_at: float


class ObjectStore:
    """A cache of what pods refer to. ttl: seconds for which an answer is good."""

    def __init__(self, client: Client | None, clock: Clock, ttl: float = 10.0) -> None:
        self._client, self._clock, self._ttl = client, clock, ttl
        self._kept: dict[tuple[str, str, str], _Kept] = {}
        self._reading: dict[tuple[str, str, str], asyncio.Task[Object | None]] = {}

    async def get(self, kind: str, namespace: str, name: str, newer_than: float = 0.0) -> Object | None:
        """The object, None when it does not exist. kind: "configMap" or "secret".

        newer_than: monotonic time; what was read before it is read again. Raises ApiAway, or ApiError for a refusal.
        """
        key = (kind, namespace, name)
        kept = self._kept.get(key)
        oldest = max(newer_than, self._clock.monotonic() - self._ttl)
        # What does not exist is asked for again: a pod waits for it.
        if kept is not None and kept.object is not None and kept.read_at >= oldest:
            return kept.object
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key))
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        try:
            return await asyncio.shield(reading)
        except ApiUnreachable as error:
            if kept is not None:
                return kept.object
            raise ApiAway(f"{kind} {namespace}/{name}: {error}") from error

    async def latest(self, kind: str, namespace: str, name: str) -> Object | None:
        """As `get`: what the API has now, for a container that starts."""
        return await self.get(kind, namespace, name, self._clock.monotonic())

    async def _read(self, key: tuple[str, str, str]) -> Object | None:
        kind, namespace, name = key
        if self._client is None:
            raise ApiAway(f"{kind} {namespace}/{name}: this kubelet has no API server")
        started = self._clock.monotonic()
        try:
            found: Object | None = await self._client.get(_KINDS[kind], name, namespace)
        except ApiError as error:
            if not is_not_found(error):
                raise
            found = None
        self._kept[key] = _Kept(found, started)
        return found

    def forget_unused(self) -> None:
        """Drop what nobody asked for in ten minutes."""
        oldest = self._clock.monotonic() - _FORGOTTEN
        for key in [key for key, kept in self._kept.items() if kept.read_at < oldest]:
            del self._kept[key]
