"""The running kubelet: which loops there are, in which order they begin, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from apimachinery.cache.informer import Informer
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.kit.clock import Clock
from apimachinery.kit.debug import DebugServer
from apimachinery.kit.tasks import cancel_and_wait, wait_first
from apimachinery.kit.trace import Trace, use
from nodeagent.cri.channel import Channel
from nodeagent.cri.errors import RuntimeCallError

from .cgroups import Cgroups
from .cgroups.allocatable import Enforcer
from .config import Config
from .housekeeping import Housekeeper
from .logrotate import LogRotator
from .node.loop import NodeLoop
from .node.status import NodeObserver
from .oom import OomWatcher
from .pleg import Pleg
from .pods import Pod
from .probes.manager import ProbeManager
from .recorder import Recorder
from .sandboxes import NodeView
from .sources.mirrors import MirrorManager
from .sources.registry import PodRegistry
from .sources.static import StaticSource
from .status.manager import StatusManager
from .wire_guards import Guards
from .workers import PodWorkers

log = logging.getLogger(__name__)

_RUNTIME_EVERY = 5.0


@dataclass(slots=True)
class Api:
    """What there is only with an API server."""

    client: Client
    events: EventRecorder | None
    pods: Informer
    services: Informer | None
    mirrors: MirrorManager
    node: NodeLoop


@dataclass(slots=True)
class Agent:
    """The kubelet. Static pods do not wait for the API server; nothing is collected before every source was read."""

    config: Config
    channel: Channel
    registry: PodRegistry
    workers: PodWorkers
    probes: ProbeManager
    pleg: Pleg
    status: StatusManager
    cgroups: Cgroups
    enforcer: Enforcer
    watcher: NodeObserver
    view: NodeView
    static: StaticSource | None
    api: Api | None
    rotator: LogRotator
    guards: Guards
    recorder: Recorder
    clock: Clock
    trace: Trace
    housekeeper: Housekeeper | None = None
    health: DebugServer | None = None
    servers: list[Any] = field(default_factory=list)

    def sources_ready(self) -> bool:
        """Whether every source has been read, and the runtime listed: only then does absence mean something."""
        return (
            (self.static is None or self.registry.static_read)
            and (self.api is None or self.api.pods.has_synced)
            and self.pleg.unhealthy() is None
        )

    async def check_sync_loop(self) -> None:
        """The health check of the sync loop: the runtime was listed lately."""
        problem = self.pleg.unhealthy()
        if problem is not None:
            raise RuntimeError(problem)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Containers go on running."""
        log.info("Kubelet version v1.32.0, node %s", self.config.node_name)
        use(self.trace)
        self.config.root_dir.mkdir(parents=True, exist_ok=True)
        (self.config.root_dir / "pods").mkdir(exist_ok=True)
        self.config.pod_logs_dir.mkdir(parents=True, exist_ok=True)
        await self.cgroups.ensure_roots()
        self.registry.update = self._updated
        self.registry.remove = self._removed
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.channel.close)
            if self.api is not None:
                await undo.enter_async_context(self.api.client)
                self._subscribe(self.api)
            await self._wait_runtime(stop)
            tasks = [asyncio.create_task(loop, name=name) for name, loop in self._loops(stop).items()]
            undo.push_async_callback(self.probes.stop)
            undo.push_async_callback(self.workers.stop)
            undo.push_async_callback(cancel_and_wait, *tasks)
            self.recorder.node("Normal", "Starting", "Starting kubelet.")
            await wait_first(stop, *tasks)

    def _loops(self, stop: asyncio.Event) -> dict[str, Coroutine[Any, Any, Any]]:
        loops: dict[str, Coroutine[Any, Any, Any]] = {
            "pleg": self.pleg.run(),
            "runtime": self._watch_runtime(),
            "allocatable": self.enforcer.run(),
            "logs": self.rotator.run(),
            "eviction": self.guards.eviction.run(),
            "shutdown": self.guards.shutdown.run(),
            "oom": OomWatcher(self.recorder.node).run(),
            "status": self.status.run(stop),
        }
        if self.housekeeper is not None:
            loops["housekeeping"] = self.housekeeper.run()
        if self.health is not None and self.config.healthz_port:
            loops["healthz"] = self.health.run(stop)
        for server in self.servers:
            loops[f"server-{id(server)}"] = server.run(stop)
        if self.static is not None:
            loops["static"] = self.static.run()
        if self.api is not None:
            loops |= {
                "pods": self.api.pods.run(),
                "mirrors": self.api.mirrors.run(),
                "node": self.api.node.run(),
            }
            if self.api.services is not None:
                loops["services"] = self.api.services.run()
            if self.api.events is not None:
                loops["events"] = self.api.events.run()
        return loops

    def _subscribe(self, api: Api) -> None:
        registry = self.registry
        api.pods.add_handler(on_add=registry.api_put, on_update=registry.api_replaced, on_delete=registry.api_gone)
        registry.mirrors_changed = self._mirrors_changed

    def _mirrors_changed(self) -> None:
        assert self.api is not None
        self.api.mirrors.kick()
        for pod in self.registry.static():
            self.status.kick(pod["metadata"]["uid"])

    def _updated(self, pod: Pod) -> None:
        self.workers.update(pod)
        self.status.kick(pod["metadata"]["uid"])

    def _removed(self, uid: str) -> None:
        self.workers.remove(uid)
        self.status.forget(uid)

    async def _wait_runtime(self, stop: asyncio.Event) -> None:
        """The first listing: what runs already must be known before anything is decided."""
        told = False
        while not stop.is_set():
            try:
                await self.pleg.relist()
                await self._look()
                return
            except RuntimeCallError as error:
                if not told:
                    log.error("The container runtime is not there yet: %s", error)
                    told = True
                await self.clock.sleep(0.5)

    async def _watch_runtime(self) -> None:
        while True:
            await self._look()
            await self.clock.sleep(_RUNTIME_EVERY)

    async def _look(self) -> None:
        """Ask the runtime how it is; a change is told to the API at once."""
        before = (self.watcher.runtime_problem, self.watcher.network_problem)
        await self.watcher.look()
        self.view.network_problem, self.view.runtime_problem = (
            self.watcher.network_problem,
            self.watcher.runtime_problem,
        )
        after = (self.watcher.runtime_problem, self.watcher.network_problem)
        if before != after and self.api is not None:
            self.api.node.kick()
