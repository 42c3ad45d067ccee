"""The node's Lease: renewed from what was written last, looked for when that fails (component-helpers, lease)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from apimachinery.api.catalogue import LEASES, NODES
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.go_print import quoted
from apimachinery.meta.status import ApiError, is_conflict, is_not_found

from .render import Node

log = logging.getLogger(__name__)

_NAMESPACE = "kube-node-lease"
_RENEWALS = 4  # in its duration (nodeLeaseRenewIntervalFraction)
_TRIES = 5  # to update it, before it is looked for (maxUpdateRetries)
_BACKOFF_MIN, _BACKOFF_MAX = 0.2, 7.0
_FAILURES = (ApiError, ApiUnreachable, TimeoutError)


class NodeLease:
    """The Lease of the Node `name`. duration: seconds for which a renewal holds. interval: seconds between two."""

    def __init__(self, client: Client, name: str, clock: Clock, duration: int) -> None:
        self._client, self._name, self._clock, self._duration = client, name, clock, duration
        self.interval = duration / _RENEWALS
        self._latest: Node | None = None

    async def renew(self) -> bool:
        """Once; returns when it is renewed, or was tried five times. False: there is no Node that it could be of."""
        if self._latest is not None:
            failure = await self._update(self._latest)
            if failure is None:
                return True
            log.info('"failed to update lease using latest lease, fallback to ensure lease" err=%s', quoted(failure))
        self._latest, made = await self._ensure()
        if self._latest is not None and not made:
            failure = await self._update(self._latest)
            if failure is not None:
                log.error('"Will retry updating lease" err=%s interval=%s', quoted(failure), _period(self.interval))
        return self._latest is not None

    async def _update(self, base: Node | None) -> str | None:
        """What is wrong, when no try succeeds."""
        for _ in range(_TRIES):
            try:
                lease = await self._renewed(base)
            except _FAILURES as error:
                log.error('"Failed to prepare lease" err=%s', quoted(_words(error)))
                continue
            try:
                self._latest = await self._in_time(self._client.update(LEASES, lease))
            except _FAILURES as error:
                log.error('"Failed to update lease" err=%s', quoted(_words(error)))
                if isinstance(error, ApiError) and is_conflict(error):
                    base, _made = await self._ensure()
            else:
                return None
        return f"failed {_TRIES} attempts to update lease"

    async def _ensure(self) -> tuple[Node | None, bool]:
        """The Lease, and whether it was made. None while there is no Node."""
        wait = _BACKOFF_MIN
        while True:
            try:
                return await self._found_or_made()
            except _FAILURES as error:
                told = quoted(_words(error))
                log.error('"Failed to ensure lease exists, will retry" err=%s interval=%s', told, _period(wait))
            await self._clock.sleep(wait)
            wait = min(wait * 2, _BACKOFF_MAX)

    async def _found_or_made(self) -> tuple[Node | None, bool]:
        try:
            return await self._in_time(self._client.get(LEASES, self._name, _NAMESPACE)), False
        except ApiError as error:
            if not is_not_found(error):
                raise
        try:
            lease = await self._renewed(None)
        except _FAILURES:
            return None, False
        return await self._in_time(self._client.create(LEASES, lease, _NAMESPACE)), True

    async def _renewed(self, base: Node | None) -> Node:
        """The Lease as of now, of our Node; a new one over nothing. Raises what asking for the Node does."""
        base = base or self._new()
        metadata = dict(base["metadata"])
        if not metadata.get("ownerReferences"):
            metadata["ownerReferences"] = [await self._owner()]
        now = times.rfc3339_micro(self._clock.now())
        return {**base, "metadata": metadata, "spec": {**(base.get("spec") or {}), "renewTime": now}}

    async def _owner(self) -> Node:
        try:
            node = await self._in_time(self._client.get(NODES, self._name))
        except _FAILURES as error:
            told, name = quoted(_words(error)), quoted(self._name)
            log.error('"Failed to get node when trying to set owner ref to the node lease" err=%s node=%s', told, name)
            raise
        return {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": node["metadata"]["uid"]}

    def _new(self) -> Node:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": _NAMESPACE},
            "spec": {"holderIdentity": self._name, "leaseDurationSeconds": self._duration},
        }

    async def _in_time(self, asked: Awaitable[Node]) -> Node:
        """A server that is silent must not take more than one renewal."""
        async with asyncio.timeout(self.interval):
            return await asked


def _period(seconds: float) -> str:
    return quoted(times.format_duration(seconds))


def _words(error: Exception) -> str:
    return "context deadline exceeded" if isinstance(error, TimeoutError) else str(error)
