"""Looking at the node: the runtime's conditions, pressure, images; the status that comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta.go_print import quoted
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.client import conditions as runtime_conditions
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.cri.images import ImageService
from nodeagent.kubelet.config import Config
from nodeagent.kubelet.eviction import thresholds
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.handlers import Handlers

from . import machine as machines
from . import own_addresses
from .machine import Machine
from .render import (
    Health,
    Reserve,
    addresses,
    allocatable,
    capacity,
    condition_event,
    conditions,
    extended_resources,
    external_addresses,
    images,
    node_info,
    pods_at_most,
)

log = logging.getLogger(__name__)

_IMAGES_EVERY = 60.0
# A runtime that is restarted is no reason to move pods (maxWaitForContainerRuntime).
_MISSED_FOR = 30.0
_UNKNOWN_YET = "container runtime status check may not have completed yet"


class NodeObserver:
    """What the Node's status says. unhealthy: why the agent's picture of its pods is stale, None when it is not."""

    def __init__(
        self,
        config: Config,
        machine: Machine,
        node_ips: tuple[str, ...],
        runtime: RuntimeService,
        image_service: ImageService,
        handlers: Handlers,
        unhealthy: Callable[[], str | None],
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._config, self._machine, self._ips = config, machine, node_ips
        self._runtime, self._image_service, self._handlers = runtime, image_service, handlers
        self._unhealthy, self._recorder, self._clock = unhealthy, recorder, clock
        self.pressures: Callable[[], Collection[str]] = lambda: ()
        self.shutdown_problem: Callable[[], str | None] = lambda: None
        self.volumes_in_use: Callable[[], Collection[str]] = lambda: ()
        self.held = own_addresses.held
        self._unschedulable = False
        self._answered: float | None = None
        self.runtime_version = ""
        self._images: list[dict[str, Any]] = []
        self._images_at = -_IMAGES_EVERY
        self.network_problem: str | None = _UNKNOWN_YET
        self.runtime_problem: str | None = _UNKNOWN_YET
        disk = machines.filesystem(config.root_dir).size
        reserved = dict(config.system_reserved)
        for key, amount in config.kube_reserved.items():
            reserved[key] = reserved.get(key, 0) + amount
        hard = config.eviction_hard
        self.reserve = Reserve(
            reserved,
            thresholds.reserved(hard, thresholds.MEMORY, machine.memory),
            thresholds.reserved(hard, thresholds.NODEFS, disk),
        )
        most = pods_at_most(machine, config.max_pods, config.pods_per_core)
        self.capacity = capacity(machine, most, disk)
        self.allocatable = allocatable(machine, most, disk, self.reserve)

    async def look(self) -> None:
        """Ask the runtime how it is. Never raises: what goes wrong is the finding."""
        try:
            status = await self._runtime.whole_status()
            if not self.runtime_version:
                version = await self._runtime.version()
                self.runtime_version = f"{version.runtime_name}://{version.runtime_version.removeprefix('v')}"
        except RuntimeCallError as error:
            log.warning("Container runtime sanity check failed: %s", error.message)
            if self._answered is not None and self._clock.monotonic() - self._answered >= _MISSED_FOR:
                self.runtime_problem = "container runtime is down"
            return
        self._answered = self._clock.monotonic()
        self._handlers.learn(status)
        found = runtime_conditions(status)
        ready, network = found.get("RuntimeReady"), found.get("NetworkReady")
        self.runtime_problem = None
        if ready is None or not ready.status:
            reason, text = (ready.reason, ready.message) if ready is not None else ("", "condition missing")
            self.runtime_problem = f"container runtime not ready: RuntimeReady=false reason:{reason} message:{text}"
        self.network_problem = None
        if network is None or not network.status:
            reason, text = (network.reason, network.message) if network is not None else ("", "condition missing")
            self.network_problem = (
                f"container runtime network not ready: NetworkReady=false reason:{reason} message:{text}"
            )

    async def observe(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """The Node's status now. node: as the API has it, empty while it has none."""
        await self.look()
        if self.runtime_problem is None:
            await self._list_images()
        shown = node.get("status") or {}
        stale = self._unhealthy()
        pleg = f"PLEG is not healthy: {stale}" if stale else None
        found = (self.runtime_problem, pleg, self.network_problem, self.shutdown_problem())
        problems = list(dict.fromkeys(text for text in found if text))
        pressures = self.pressures()
        health = Health(
            problems, "MemoryPressure" in pressures, "DiskPressure" in pressures, "PIDPressure" in pressures
        )
        now = conditions(health, shown.get("conditions") or (), self._clock.now())
        self._tell(now, shown.get("conditions") or ())
        self._tell_others(node)
        others = extended_resources(shown.get("capacity") or {})
        lists = {"volumesInUse": [*self.volumes_in_use()], "runtimeHandlers": self._handlers.render()}
        return {
            **{key: entries for key, entries in lists.items() if entries or shown.get(key)},
            **self._features(),
            "addresses": self._addresses(shown),
            "capacity": {**others, **self.capacity},
            "allocatable": {**others, **self.allocatable},
            "conditions": now,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._config.port}},
            "nodeInfo": node_info(self._machine, self.runtime_version),
            "images": self._images,
        }

    def _features(self) -> dict[str, Any]:
        features = self._handlers.features
        if features is None or not self._config.gates["SupplementalGroupsPolicy"]:
            return {}
        return {"features": {"supplementalGroupsPolicy": features.supplemental_groups_policy}}

    def _addresses(self, shown: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        name, before = self._config.node_name, shown.get("addresses") or []
        problem = own_addresses.refusal(self._config.node_ips, self.held)
        if problem is not None:
            log.error('"Failed to set some node status fields" err=%s node=%s', quoted(problem), quoted(name))
            return before
        if self._config.cloud_provider == "external":
            return external_addresses(before, name, self._config.node_ips)
        return addresses(name, self._ips)

    def _tell(self, now: Sequence[Mapping[str, str]], shown: Sequence[Mapping[str, Any]]) -> None:
        """An event for every condition that is not as the API has it; that a new Node is not ready yet is no news."""
        before = {condition["type"]: condition["status"] for condition in shown}
        for condition in now:
            kind, status = condition["type"], condition["status"]
            if before.get(kind) != status and (kind in before or kind != "Ready"):
                self._tell_status(condition_event(kind, status))

    def _tell_others(self, node: Mapping[str, Any]) -> None:
        """Events for a machine that was started anew, and for a cordon that was set or lifted."""
        boot = ((node.get("status") or {}).get("nodeInfo") or {}).get("bootID")
        if boot and boot != self._machine.boot_id:
            text = f"Node {self._config.node_name} has been rebooted, boot id: {self._machine.boot_id}"
            self._recorder.node("Warning", "Rebooted", text)
        unschedulable = bool((node.get("spec") or {}).get("unschedulable"))
        if unschedulable != self._unschedulable:
            self._unschedulable = unschedulable
            self._tell_status("NodeNotSchedulable" if unschedulable else "NodeSchedulable")

    def _tell_status(self, reason: str) -> None:
        self._recorder.node("Normal", reason, f"Node {self._config.node_name} status is now: {reason}")

    async def _list_images(self) -> None:
        now = self._clock.monotonic()
        if now - self._images_at < _IMAGES_EVERY:
            return
        try:
            self._images = images(await self._image_service.list_images(), self._config.status_max_images)
            self._images_at = now
        except RuntimeCallError:
            return
