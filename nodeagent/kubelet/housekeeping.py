"""The slow rounds: pods that no source knows, folders and cgroups without a pod, dead containers, logs, images."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from apimachinery.kit.clock import Clock
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.gc import Collector
from nodeagent.kubelet.image_gc import ImageCollector
from nodeagent.kubelet.objects import ObjectStore
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime import labels
from nodeagent.kubelet.runtime.observe import observe_pod
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.sources.registry import PodRegistry
from nodeagent.kubelet.volumes.manager import VolumeManager
from nodeagent.kubelet.workers import Phase, PodWorkers

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
        images: ImageCollector,
        store: ObjectStore,
        recorder: Recorder,
        ready: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._registry, self._workers, self._observer = registry, workers, observer
        self._runtime, self._volumes, self._cgroups = runtime, volumes, cgroups
        self._collector, self._images, self._store, self._recorder = collector, images, store, recorder
        self._ready, self._clock = ready, clock

    async def run(self) -> None:
        """Go round until cancelled."""
        async with asyncio.TaskGroup() as rounds:
            rounds.create_task(self._every(_PODS_EVERY, self.orphans))
            rounds.create_task(self._every(_CONTAINERS_EVERY, self.containers))
            # The first look is what the age of images is counted from.
            rounds.create_task(self._every(_IMAGES_EVERY, self._images.run_once))

    async def _every(self, period: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            if not self._ready():
                await self._clock.sleep(min(period, _PODS_EVERY))
                continue
            try:
                await action()
            except RuntimeCallError as error:
                log.warning("Housekeeping failed: %s", error)
            except Exception:
                log.exception("Housekeeping failed")
            await self._clock.sleep(period)

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
                await self._cgroups.remove_pod(uid)
        await self._volumes.disks.release()

    async def strangers(self) -> None:
        """End and remove sandboxes that no kubelet made (`crictl runp`): what is here without a pod has to go, as
        upstream, though not in the hands of who is just making it. Raises RuntimeCallError."""
        before = (self._clock.now().timestamp() - _CONTAINERS_EVERY) * 1e9
        for box in await self._runtime.list_pod_sandboxes():
            if labels.POD_UID not in box.labels and box.created_at <= before:
                log.info("Cleaning up sandbox %s (%s/%s) of nobody", box.id, box.metadata.namespace, box.metadata.name)
                await self._runtime.stop_pod_sandbox(box.id)
                await self._runtime.remove_pod_sandbox(box.id)

    async def containers(self) -> None:
        """Thin out what live pods have left, and the logs of those that are gone."""
        self._store.forget_unused()
        try:
            for uid in list(self._observer.seen):
                if self._registry.get(uid) is not None:
                    # Looked at without taking note: what is news to a worker must stay news.
                    await self._collector.pod(await observe_pod(self._runtime, uid))
            await self.strangers()
        except RuntimeCallError as error:
            self._recorder.node("Warning", "ContainerGCFailed", str(error))
            raise
        alive = {*self._observer.seen, *(pod["metadata"]["uid"] for pod in self._registry.all())}
        await asyncio.to_thread(self._collector.logs, alive)

    async def delete_unused_containers(self) -> None:
        """Remove the containers that do not run, of pods that have ended and of live ones. Raises RuntimeCallError."""
        log.info('"Attempting to delete unused containers"')
        for uid in list(self._observer.seen):
            state = await observe_pod(self._runtime, uid)
            if self._workers.phase(uid) in (Phase.TERMINATED, Phase.FINISHED):
                await self._collector.ended_pod(state)
            elif self._registry.get(uid) is not None:
                await self._collector.pod(state)
