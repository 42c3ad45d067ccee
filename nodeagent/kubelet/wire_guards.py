"""The part of `wire` that joins what keeps the node alive: admission, eviction, graceful shutdown, image collection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import NODES
from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.clock import Clock
from apimachinery.meta.status import ApiError
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.images import ImageService

from . import pods
from .admission import apparmor
from .admission.gate import Admission, NodeFacts
from .admission.predicates import Refusal
from .cgroups import Cgroups
from .config import Config
from .eviction import manager as eviction
from .eviction.measure import Meter
from .eviction.ranking import REASON
from .eviction.thresholds import parse_thresholds
from .image_gc import ImageCollector, Policy
from .node import machine as machines
from .node.loop import NodeLoop
from .node.render import amounts, extended_resources, pods_allocatable
from .node.status import NodeObserver
from .paths import Paths
from .pods import Pod
from .recorder import Recorder
from .runtime.observer import Observer
from .shutdown.groups import plan_periods
from .shutdown.logind import Logind
from .shutdown.manager import Hands as ShutdownHands
from .shutdown.manager import ShutdownManager
from .sources.registry import PodRegistry
from .status.compute import Verdict
from .workers import PodWorkers


@dataclass(slots=True)
class Guards:
    """What keeps the node alive."""

    meter: Meter
    images: ImageCollector
    eviction: eviction.EvictionManager
    shutdown: ShutdownManager
    admission: Admission


@dataclass(frozen=True, slots=True)
class Parts:
    """What the guards are joined to. node: the loop of our Node, None without an API server."""

    config: Config
    machine: machines.Machine
    runtime: RuntimeService
    images: ImageService
    handed_out: dict[str, float]
    paths: Paths
    cgroups: Cgroups
    registry: PodRegistry
    observer: Observer
    workers: PodWorkers
    watcher: NodeObserver
    node: NodeLoop | None
    recorder: Recorder
    clock: Clock
    #: The pod with the resources that the node has granted it, whatever its spec asks for by now.
    granted: Callable[[Pod], Pod] = lambda pod: pod


def build_guards(parts: Parts, delete_containers: Callable[[], Awaitable[None]]) -> Guards:
    """Make and join them. delete_containers: of those that do not run. Raises OSError, ValueError."""
    config, workers, clock = parts.config, parts.workers, parts.clock

    def changed() -> None:
        if parts.node is not None:
            parts.node.kick()

    async def end(pod: Pod, verdict: Verdict, grace: int) -> bool:
        return await workers.end(pods.uid(pod), verdict, grace, cleaned=True)

    async def preempt(pod: Pod, verdict: Verdict) -> None:
        await workers.end(pods.uid(pod), verdict, None)

    memory = pods_allocatable(parts.machine, parts.watcher.reserve)["memory"]
    meter = Meter(parts.runtime, parts.images, parts.paths, parts.cgroups, memory)

    async def image_disk() -> machines.Filesystem:
        return machines.filesystem(await meter.image_place())

    collector = ImageCollector(
        parts.runtime,
        parts.images,
        image_disk,
        parts.handed_out,
        Policy(config.image_gc_high, config.image_gc_low, config.image_min_gc_age, config.image_max_gc_age),
        parts.recorder,
        clock,
    )
    evictor = eviction.EvictionManager(
        eviction.Policy(
            parse_thresholds(
                config.eviction_hard,
                config.eviction_soft,
                config.eviction_soft_grace,
                config.eviction_minimum_reclaim,
            ),
            enforce_pods="pods" in config.enforce_node_allocatable,
            transition=config.eviction_transition,
            soft_grace=config.eviction_max_pod_grace,
            local_storage=config.local_storage_isolation,
            overwrites=config.gates["AllowOverwriteTerminationGracePeriodSeconds"],
        ),
        meter,
        eviction.Hands(workers.active, end, delete_containers, collector.delete_unused, changed),
        parts.recorder,
        clock,
    )
    shutdown = ShutdownManager(
        plan_periods(config.shutdown_grace, config.shutdown_grace_critical, config.shutdown_grace_by_priority),
        Logind.connect,
        ShutdownHands(workers.active, end, changed),
        parts.recorder,
        clock,
    )

    def pressure(pod: Pod) -> Refusal | None:
        text = evictor.refusal(pod)
        return Refusal(REASON, text) if text is not None else None

    apparmor_enabled = apparmor.is_enabled()

    def unconfined(pod: Pod) -> Refusal | None:
        return apparmor.unenforceable(pod, apparmor_enabled)

    admission = Admission(
        _node_facts(parts),
        lambda: [parts.granted(pod) for pod in _present(parts)],
        preempt,
        (shutdown.refusal, pressure, unconfined),
        config.allowed_unsafe_sysctls,
        parts.recorder,
    )
    parts.watcher.pressures = lambda: evictor.conditions
    parts.watcher.shutdown_problem = shutdown.problem
    workers.admit = lambda pod: admission.admit(parts.granted(pod))
    return Guards(meter, collector, evictor, shutdown, admission)


def _present(parts: Parts) -> list[Pod]:
    """Every pod with a place on the node: admitted, or running since before this agent was started."""
    admitted = {pods.uid(pod): pod for pod in parts.workers.active()}
    running = {
        pods.uid(pod): pod
        for pod in parts.registry.all()
        if pods.uid(pod) in parts.observer.seen and not pods.is_terminal(pod) and not parts.workers.ended(pods.uid(pod))
    }
    return list({**running, **admitted}.values())


def _node_facts(parts: Parts) -> NodeFacts:
    node, labels = parts.node, dict(parts.node.labels) if parts.node is not None else {}
    unread: Mapping[str, Any] = {"metadata": {"labels": labels}}

    def known() -> Mapping[str, Any]:
        return node.known or unread if node is not None else unread

    async def fresh() -> Mapping[str, Any] | None:
        if node is None:
            return None
        try:
            return await node.client.get(NODES, parts.config.node_name)
        except (ApiError, ApiUnreachable):
            return None

    def allocatable() -> Mapping[str, int]:
        status = known().get("status") or {}
        return amounts({**extended_resources(status.get("allocatable") or {}), **parts.watcher.allocatable})

    return NodeFacts(parts.config.node_name, allocatable, known, fresh)
