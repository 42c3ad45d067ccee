"""Forgetting history, at the pace of upstream's kube-apiserver (`storage/etcd3/compact.go`) and with a longer memory.

Every interval, ONE of the API servers on a store compacts it: the one whose compare-and-swap on a key of its own
succeeds. Upstream compacts to where the store was an interval ago; we to where it was `retention` ago, an hour by
default, so that this hour can be listed, watched and compared.
"""

import logging

from apimachinery.kit.clock import Clock

from .interface import KeyExists, KeyMissing, Revision, RevisionMismatch, Storage, StorageError, Stored
from .timeline import Timeline

log = logging.getLogger(__name__)

# Upstream's key and --etcd-compaction-interval, in seconds.
KEY = "compact_rev_key"
INTERVAL = 300.0


class Compactor:
    """Run it beside a store for as long as that is open. The timeline must keep at least `retention` seconds."""

    def __init__(
        self, storage: Storage, clock: Clock, timeline: Timeline, *, retention: float, interval: float = INTERVAL
    ) -> None:
        self._storage, self._clock, self._timeline = storage, clock, timeline
        self._retention = max(retention, interval)
        self._interval = interval
        self._seen: Stored | None = None

    async def run(self) -> None:
        """Until cancelled. A store that does not answer is tried again an interval later."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.compact_once()
            except StorageError as error:
                log.warning("history not compacted: %s", error)

    async def compact_once(self) -> Revision | None:
        """Compacts to where the store was `retention` ago. Returns where to, or None when the timeline does not reach
        back that far or another server has done it since the call before. Raises StorageError."""
        target = self._timeline.at(self._clock.now().timestamp() - self._retention) or 0
        value = str(target).encode()
        try:
            if self._seen is None:
                written = await self._storage.create(KEY, value)
            else:
                written = await self._storage.update(KEY, value, self._seen.mod_revision)
        except (KeyExists, KeyMissing, RevisionMismatch):
            self._seen = await self._storage.get(KEY)
            return None
        self._seen = Stored(KEY, value, written)
        if not target:
            return None
        await self._storage.compact(target)
        log.info("history compacted to revision %d", target)
        return target
