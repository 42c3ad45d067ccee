"""The only place where the scheduler's real objects are made and joined."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from contextlib import AsyncExitStack

from aiohttp import web

from apimachinery.api.catalogue import PODDISRUPTIONBUDGETS, PODS
from apimachinery.cache.informer import InformerFactory
from apimachinery.client.fenced import FencedClient
from apimachinery.client.leader import LeaderElector
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.controller.glassbox import GlassBox
from apimachinery.controller.leading import telling
from apimachinery.controller.series_recorder import SeriesRecorder
from apimachinery.controller.serving import LEADER_ELECTION, port_parts
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.debug import Check
from apimachinery.kit.metrics import CONTENT_TYPE
from apimachinery.kit.tasks import run_until
from apimachinery.kit.trace import Trace, use
from controlplane.scheduler import observed
from controlplane.scheduler.budgets import violating
from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.configz import shown
from controlplane.scheduler.extender import Extenders
from controlplane.scheduler.nominator import Nominator
from controlplane.scheduler.plugins import VolumeParts, make_framework
from controlplane.scheduler.pod_resources import render_resources
from controlplane.scheduler.queue import SchedulingQueue
from controlplane.scheduler.schedule_one import ScheduleOne
from controlplane.scheduler.stepping import SchedulerLoop
from controlplane.scheduler.storage import Storage
from controlplane.scheduler.surroundings import ClusterSurroundings
from controlplane.scheduler.watching import LIVE_PODS, Watching

log = logging.getLogger(__name__)

NAME = "kube-scheduler"
# Events that may wait: upstream's scheduler sends each beside the others, and drops none of a burst. Here they go one
# after another, behind the bindings, and a burst of pods is bound faster than that. A waiting event takes 3 KiB.
EVENTS_MAX = 10_000


class SchedulerDaemon:
    """The scheduler, ready to run. glass_box: for `kubelab step` and `kubelab trace`."""

    def __init__(self, config: SchedulerConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self.glass_box = GlassBox(Trace(NAME))

    async def run(self, stop: asyncio.Event) -> None:
        """Schedule until `stop` is set. Raises LeadershipLost when another scheduler took over."""
        config = self._config
        use(self.glass_box.trace)
        async with AsyncExitStack() as undo:
            own = client = await undo.enter_async_context(Client(config.client, NAME))
            elector: LeaderElector | None = None
            checks: dict[str, Check] = {}
            leaders = EventRecorder(own, config.lease_name or config.lease.name, clock=self._clock)
            if config.leader_elect:
                elector = config.elector(
                    own, config.lease.name, self._clock, config.lease.namespace, tell=telling(leaders)
                )
                checks[LEADER_ELECTION] = elector.check
                # Only who surely leads binds; the lease itself is written with the other client.
                fenced = FencedClient(config.client, NAME, elector.holds)
                client = await undo.enter_async_context(fenced)
            extenders = await undo.enter_async_context(Extenders(config.extenders))
            informers = InformerFactory(client)
            volumes = VolumeParts(Storage(informers), client, self._clock)
            frameworks = {each.scheduler_name: make_framework(each, volumes) for each in config.profiles}
            recorders = {
                name: SeriesRecorder(client, name, clock=self._clock, queue_max=EVENTS_MAX) for name in frameworks
            }
            cache, nominator = SchedulerCache(ClusterSurroundings(informers)), Nominator()
            queue = SchedulingQueue(
                self._clock,
                lambda pod, by, change: frameworks[pod.scheduler_name].may_help(pod, by, change),
                config.backoffs,
            )
            observed.show_queue(queue.lengths)
            # An extender may read what our own rules do not.
            Watching(cache, queue, nominator, frameworks).attach(informers, whole=bool(config.extenders))
            budgets = informers.get(PODDISRUPTIONBUDGETS).lister
            loop = ScheduleOne(
                client,
                cache,
                queue,
                nominator,
                frameworks,
                recorders,
                self._clock,
                random.Random(),
                lambda pods: violating(budgets.list(), pods),
                config.percentage_of_nodes_to_score,
                extenders,
            )

            async def handlers_synced() -> None:
                if not informers.synced:
                    raise RuntimeError("handlers are not fully synchronized")

            async def staying() -> None:
                if stop.is_set():
                    raise RuntimeError("process is shutting down")

            scheduled = informers.get(PODS, field_selector=LIVE_PODS).lister

            async def resources(_: web.Request) -> web.Response:
                body = render_resources(scheduled.list())
                return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

            ready: dict[str, Check] = {"shutdown": staying, "sched-handler-sync": handlers_synced}

            active = asyncio.Event()
            if elector is None or not config.delay_cache:
                active.set()

            async def follow() -> None:
                await active.wait()
                await informers.run()

            async def lead() -> None:
                active.set()
                await informers.wait_synced()
                self.glass_box.show([SchedulerLoop(loop, queue)])
                log.info("scheduling pods of %s", ", ".join(frameworks))
                await loop.run()

            parts: list[Awaitable[None]] = [follow(), leaders.run()]
            parts += [recorder.run() for recorder in recorders.values()]
            parts.append(elector.run(lead) if elector is not None else lead())
            parts += port_parts(
                config,
                NAME,
                self.glass_box,
                own,
                self._clock,
                stop,
                checks=checks,
                ready=ready,
                routes={"/metrics/resources": resources},
                shown=shown(config),
            )
            await run_until(stop, parts)


def build(config: SchedulerConfig, clock: Clock | None = None) -> SchedulerDaemon:
    """Join the parts. No I/O happens before `run`."""
    return SchedulerDaemon(config, clock or SystemClock())
