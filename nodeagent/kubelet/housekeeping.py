"""The slow rounds: pods that no source knows, folders and cgroups without a pod, dead containers, logs, images."""

from __future__ import annotations

import logging
from collections.abc import Callable

from apimachinery.kit.clock import Clock
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.gc import Collector, used_images
from nodeagent.kubelet.objects import ObjectStore
from nodeagent.kubelet.runtime.observe import observe_pod
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.sources.registry import PodRegistry
from nodeagent.kubelet.volumes.manager import VolumeManager
from nodeagent.kubelet.workers import PodWorkers

log = logging.getLogger(__name__)

_PODS_EVERY, _CONTAINERS_EVERY, _IMAGES_EVERY = 2.0, 60.0, 300.0


class Housekeeper:
    """Nothing is thrown away before every source has been read: absence proves nothing until then."""

    def __init__(
        self,
        *,
        registry: PodRegistry,
        workers: PodWorkers,
        observer: Observer,
        runtime: RuntimeService,
        volumes: VolumeManager,
        cgroups: Cgroups | None,
        collector: Collector,
        store: ObjectStore,
        ready: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._registry, self._workers, self._observer = registry, workers, observer
        self._runtime, self._volumes, self._cgroups = runtime, volumes, cgroups
        self._collector, self._store, self._ready, self._clock = collector, store, ready, clock

    async def run(self) -> None:
        """Go round until cancelled."""
        containers = images = self._clock.monotonic()
        while True:
            await self._clock.sleep(_PODS_EVERY)
            if not self._ready():
                continue
            try:
                await self.orphans()
                now = self._clock.monotonic()
                if now - containers >= _CONTAINERS_EVERY:
                    containers = now
                    await self.containers()
                if now - images >= _IMAGES_EVERY:
                    images = now
                    await self._collector.images(await used_images(self._runtime))
            except RuntimeCallError as error:
                log.warning("Housekeeping failed: %s", error)
            except Exception:
                log.exception("Housekeeping failed")

    async def orphans(self) -> None:
        """End what runs of pods that nobody wants, and remove the folders and cgroups that they left."""
        for uid in list(self._observer.seen):
            if uid not in self._workers and self._registry.get(uid) is None:
                self._workers.kill_unknown(uid)
        left = self._volumes.pod_uids() | (self._cgroups.pod_uids() if self._cgroups is not None else set())
        for uid in left:
            if uid in self._workers or uid in self._observer.seen or self._registry.get(uid) is not None:
                continue
            log.info("Cleaning up orphaned pod %s", uid)
            await self._volumes.remove(uid)
            if self._cgroups is not None:
                self._cgroups.remove_pod(uid)

    async def containers(self) -> None:
        """Thin out what live pods have left, and the logs of those that are gone."""
        self._store.forget_unused()
        for uid in list(self._observer.seen):
            if self._registry.get(uid) is not None:
                # Looked at without taking note: what is news to a worker must stay news.
                await self._collector.pod(await observe_pod(self._runtime, uid))
        self._collector.logs({*self._observer.seen, *(pod["metadata"]["uid"] for pod in self._registry.all())})
