"""Forgetting history, at the pace and in the way of upstream's kube-apiserver (`storage/etcd3/compact.go`).

Every interval, ONE of the API servers on a store compacts it to where it was an interval ago: the one whose
compare-and-swap on a key of its own succeeds. So between one and two intervals of history can be listed and watched.
"""

import logging

from apimachinery.kit.clock import Clock

from .interface import KeyExists, KeyMissing, Revision, RevisionMismatch, Storage, StorageError, Stored

log = logging.getLogger(__name__)

# Upstream's key and --etcd-compaction-interval, in seconds.
KEY = "compact_rev_key"
INTERVAL = 300.0


class Compactor:
    """Run it beside a store for as long as that is open."""

    def __init__(self, storage: Storage, clock: Clock, interval: float = INTERVAL) -> None:
        self._storage = storage
        self._clock = clock
        self._interval = interval
        self._seen: Stored | None = None
        self._revision: Revision = 0

    async def run(self) -> None:
        """Until cancelled. A store that does not answer is tried again an interval later."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.compact_once()
            except StorageError as error:
                log.warning("history not compacted: %s", error)

    async def compact_once(self) -> Revision | None:
        """Compacts to the revision noted in the call before, and notes the present one. Returns where to, or None when
        there was no call before or another server has done it since. Raises StorageError."""
        target = self._revision
        value = str(target).encode()
        try:
            if self._seen is None:
                written = await self._storage.create(KEY, value)
            else:
                written = await self._storage.update(KEY, value, self._seen.mod_revision)
        except (KeyExists, KeyMissing, RevisionMismatch):
            self._seen = await self._storage.get(KEY)
            self._revision = await self._storage.current_revision()
            return None
        self._seen = Stored(KEY, value, written)
        self._revision = written
        if not target:
            return None
        await self._storage.compact(target)
        log.info("history compacted to revision %d", target)
        return target
