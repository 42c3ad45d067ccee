"""The only place where the kubelet's real parts are made and joined."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import PODS, SERVICES
from apimachinery.cache.informer import Informer
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.config import Problems
from apimachinery.kit.debug import DebugServer, Health, well
from apimachinery.kit.tasks import CommandFailed
from apimachinery.kit.trace import Trace
from nodeagent.cri.channel import Channel
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.cri.images import ImageService

from . import dns, environment, gates, observed
from .agent import Agent, Api
from .backoff import CrashBackoff
from .cgroups import Cgroups, PodLimits
from .cgroups.allocatable import Enforcer, plan_enforcement
from .cgroups.systemd import Systemd
from .cgroups.tree import MOUNT
from .config import Config
from .downward import NodeFacts
from .gc import Collector
from .housekeeping import Housekeeper
from .logrotate import LogRotator
from .node import machine as machines
from .node import render, tunables
from .node.csi_node import CsiNode
from .node.loop import NodeLoop
from .node.status import NodeObserver
from .objects import ObjectStore
from .paths import Paths
from .pleg import Pleg
from .probes.manager import ProbeManager
from .qos import MemoryQos
from .recorder import Recorder
from .resize.resizer import Resizer
from .runtime import swap as swaps
from .runtime.addresses import Addresses
from .runtime.classes import RuntimeClasses
from .runtime.handlers import Handlers
from .runtime.kill import Killer
from .runtime.observer import Observer
from .runtime.paced import PacedRuntime, Turns
from .runtime.start import Machine, Starter
from .runtime.swap import Swap
from .runtime.user_namespaces import UserNamespaces
from .sandboxes import NodeView, Sandboxes
from .server.app import KubeletServer
from .server.auth import Gate
from .server.certificate import Serving
from .server.system_logs import SystemLogs
from .sources.mirrors import MirrorManager
from .sources.registry import PodRegistry
from .sources.static import StaticSource
from .starting import Starting
from .status.manager import StatusManager
from .sync import PodSyncer
from .volumes import mounts
from .volumes.claims import ClaimReader
from .volumes.manager import VolumeManager
from .volumes.tokens import TokenManager
from .wire_guards import Parts, build_guards
from .wire_identity import client_rotation, make_client, make_events, make_images, serving_rotation
from .wire_stats import build_measurements
from .workers import PodWorkers

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Runtime:
    """The connection to the container runtime."""

    channel: Channel
    pods: RuntimeService
    images: ImageService


def _memory_qos(config: Config, allocatable: Callable[[], int]) -> MemoryQos | None:
    if not config.gates["MemoryQoS"]:
        return None
    return MemoryQos(config.document["memoryThrottlingFactor"], allocatable)


async def _check_runtime(config: Config, runtime: RuntimeService) -> None:
    """A kubelet that finds no runtime when it starts does not wait: its unit starts it anew (PreInitRuntimeService)."""
    try:
        await runtime.version()
    except RuntimeCallError as error:
        asked = f'validate CRI v1 runtime API for endpoint "{config.runtime_endpoint}"'
        raise CommandFailed(f"failed to run Kubelet: validate service connection: {asked}: {error}") from None


async def build(config: Config, clock: Clock | None = None) -> Agent:
    """Make the kubelet. Nothing is started yet. Raises ConfigError, OSError (cgroups, directories), CommandFailed."""
    clock = clock or SystemClock()
    for idle in gates.without_effect(config.document.get("featureGates") or {}):
        log.warning("feature gate %s is set, and has no effect here", idle)
    _check_kernel(config)
    channel = Channel(config.runtime_endpoint, observed.runtime_called)
    machine = machines.read_machine()
    runtime = Runtime(channel, PacedRuntime(channel, Turns(2 * machine.cpus)), ImageService(channel))
    await _check_runtime(config, runtime.pods)
    node_ips = config.node_ips or (machines.default_address(),)
    paths = _paths(config)
    per_pod = PodLimits(
        config.pod_pids_limit, config.cpu_cfs_quota, tuple(machine.hugepages), config.gates["MemoryQoS"]
    )
    units = Systemd() if config.cgroup_driver == "systemd" else None
    cgroups = Cgroups(config.cgroup_root, pod_limits=per_pod, units=units)
    client = await make_client(config, clock)
    events = make_events(config, client, clock)
    recorder = Recorder(events, config.node_name)
    swap = _swap(config, machine, cgroups, recorder)
    services = Informer(client, SERVICES) if client is not None else None

    def service_variables(namespace: str, links: bool) -> Mapping[str, str] | None:
        if services is not None and not services.has_synced:
            return None
        found = services.lister.list() if services is not None else []
        return environment.service_variables(found, namespace, links=links)

    view = NodeView(
        facts=NodeFacts(config.node_name, node_ips),
        resolver=functools.partial(dns.host_resolver, config.resolv_conf),
        cluster_dns=config.cluster_dns,
        cluster_domain=config.cluster_domain,
        network_problem=None,
        services=service_variables,
    )
    registry = PodRegistry(pod_level_resources=config.gates["PodLevelResources"])
    status = StatusManager(client, registry.published, clock)
    observer = Observer(runtime.pods)
    observed.show_node(config.node_name, "v1.32.0", lambda: observer.seen, registry.all)
    store = ObjectStore(client, clock)

    def shown(uid: str, container_id: str) -> Mapping[str, Any]:
        pod = registry.get(uid)
        status = ((registry.published(pod) or {}) if pod is not None else {}).get("status") or {}
        listed = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        return next((entry for entry in listed if entry.get("containerID") == container_id), {})

    probes = ProbeManager(runtime.pods, recorder, clock, lambda uid: workers.judged(uid), lambda: node_ips[0], shown)
    killer = Killer(runtime.pods, clock, recorder)
    claims = ClaimReader(client, config.node_name)
    tokens, image_volumes = TokenManager(client, clock), config.gates["ImageVolume"]
    volumes = VolumeManager(paths, store, tokens, claims, clock, recorder, image_volumes=image_volumes)
    images = make_images(config, runtime.images, clock)
    facts = Machine(
        machine.memory,
        cgroups.v2,
        config.cluster_domain,
        config.cpu_cfs_quota,
        tuple(machine.hugepages),
        config.seccomp_default,
        swap,
        image_volumes,
        _memory_qos(config, lambda: render.amounts(watcher.allocatable).get("memory", 0)),
    )
    resizer = None
    if config.gates["InPlacePodVerticalScaling"]:
        resizer = Resizer(
            runtime.pods,
            cgroups,
            paths,
            lambda: workers.active(),
            lambda: render.amounts(watcher.allocatable),
            cpu_quota=config.cpu_cfs_quota,
            swap=swap,
            show_allocated=config.gates["InPlacePodVerticalScalingAllocatedStatus"],
        )
    classes = RuntimeClasses(client, clock)
    handlers = Handlers(runtime.pods, classes)
    starter = Starter(runtime.pods, images, store, paths, recorder, clock, facts, handlers, killer)
    namespaces = UserNamespaces(runtime.pods, paths, enabled=config.gates["UserNamespacesSupport"])
    backoff = CrashBackoff(clock, config.crash_backoff_max)
    syncer = PodSyncer(
        observer=observer,
        sandboxes=Sandboxes(
            runtime=runtime.pods,
            observer=observer,
            addresses=Addresses(runtime.pods, observer),
            starter=starter,
            classes=classes,
            namespaces=namespaces,
            volumes=volumes,
            cgroups=cgroups,
            store=store,
            recorder=recorder,
            paths=paths,
            node=view,
            clock=clock,
        ),
        starting=Starting(runtime.pods, observer, starter, status, recorder, backoff),
        killer=killer,
        handlers=handlers,
        namespaces=namespaces,
        volumes=volumes,
        cgroups=cgroups,
        status=status,
        probes=probes,
        recorder=recorder,
        node=view,
        clock=clock,
        resizer=resizer,
        show_users=config.gates["SupplementalGroupsPolicy"],
        resync=config.sync_frequency,
    )
    workers = PodWorkers(syncer, recorder, clock, status.finish)
    pleg = Pleg(channel, runtime.pods, observer, workers.wake, clock, workers.looks)
    watcher = NodeObserver(
        config, machine, node_ips, runtime.pods, runtime.images, handlers, pleg.unhealthy, recorder, clock
    )
    view.facts = NodeFacts(config.node_name, node_ips, render.amounts(watcher.allocatable))
    api = None
    if client is not None:
        own = Informer(client, PODS, field_selector=f"spec.nodeName={config.node_name}")
        mirrors = MirrorManager(client, registry, config.node_name, lambda: own.has_synced, workers.is_ending)
        taints, annotations = config.register_with_taints, dict[str, str]()
        if config.cloud_provider == "external":
            uninitialized, annotations = render.external_registration(config.node_ips)
            taints = (*taints, uninitialized)
        api = Api(
            client=client,
            events=events,
            pods=own,
            services=services,
            mirrors=mirrors,
            node=NodeLoop(
                client,
                config.node_name,
                watcher.observe,
                clock,
                labels={**render.standard_labels(config.node_name, machine), **config.node_labels},
                taints=taints,
                annotations=annotations,
                provider_id=config.provider_id,
                update=config.status_update,
                report=config.status_report,
                lease=config.lease_seconds,
                register=config.register_node,
                registered=mirrors.kick,
            ),
        )
        volumes.disks.changed = api.node.kick
    watcher.volumes_in_use = volumes.disks.in_use
    static = None
    if config.static_pod_path is not None:
        static = StaticSource(
            config.static_pod_path, config.node_name, _finish, registry.set_static, clock, config.file_check
        )

    async def delete_containers() -> None:
        assert agent.housekeeper is not None
        await agent.housekeeper.delete_unused_containers()

    parts = Parts(
        config=config,
        machine=machine,
        runtime=runtime.pods,
        images=runtime.images,
        handed_out=images.handed_out,
        paths=paths,
        cgroups=cgroups,
        registry=registry,
        observer=observer,
        workers=workers,
        watcher=watcher,
        node=api.node if api is not None else None,
        recorder=recorder,
        clock=clock,
        granted=resizer.granted if resizer is not None else lambda pod: pod,
    )
    guards = build_guards(parts, delete_containers)
    agent = Agent(
        config=config,
        channel=channel,
        registry=registry,
        workers=workers,
        probes=probes,
        pleg=pleg,
        status=status,
        cgroups=cgroups,
        enforcer=_enforcer(config, machine, cgroups, watcher, recorder, clock),
        watcher=watcher,
        view=view,
        static=static,
        api=api,
        rotator=LogRotator(
            runtime.pods, paths, clock, config.log_max_size, config.log_max_files, config.log_monitor_interval
        ),
        guards=guards,
        recorder=recorder,
        clock=clock,
        trace=Trace("kubelet"),
    )
    agent.housekeeper = Housekeeper(
        registry=registry,
        workers=workers,
        observer=observer,
        runtime=runtime.pods,
        volumes=volumes,
        cgroups=cgroups,
        collector=Collector(runtime.pods, paths),
        images=guards.images,
        store=store,
        recorder=recorder,
        ready=agent.sources_ready,
        clock=clock,
    )
    if api is not None:
        attachable = config.cloud_provider == "external"
        agent.servers.append(
            CsiNode(api.client, config.node_name, api.node.wait_registered, clock, attachable=attachable)
        )
    rotation = client_rotation(config, client, clock)
    agent.servers += [rotation] if rotation is not None else []
    if config.enable_server:
        serving = Serving(config, node_ips, clock)
        renewal = serving_rotation(config, client, serving, node_ips, clock)
        agent.servers += [serving, *([renewal] if renewal is not None else [])]
        gate = Gate(
            client,
            config.node_name,
            clock,
            anonymous=config.anonymous,
            webhook=config.webhook_authn,
            always_allow=config.authorization_mode == "AlwaysAllow",
            ttls=(config.webhook_authn_ttl, config.authorized_ttl, config.unauthorized_ttl),
        )
        agent.servers.append(
            KubeletServer(
                address=config.address,
                port=config.port,
                tls=serving.context,
                gate=gate,
                registry=registry,
                status=status.previous,
                runtime=runtime.pods,
                measured=build_measurements(
                    config,
                    machine,
                    runtime.pods,
                    runtime.images,
                    cgroups,
                    registry.find,
                    volumes.claimed,
                    paths,
                    watcher,
                    clock,
                ),
                configuration=config.shown(),
                checkpoints=config.root_dir / "checkpoints",
                system_logs=SystemLogs() if config.enable_system_log_handler else None,
                debugging=config.enable_debugging_handlers,
                read_only_port=config.read_only_port,
                health=Health({"ping": well, "log": well, "syncloop": agent.check_sync_loop}),
                clock=clock,
                trace=agent.trace,
            )
        )
    checks = {"ping": well, "syncloop": agent.check_sync_loop}
    agent.health = DebugServer(config.healthz_address, config.healthz_port, checks=checks, only_health=True)
    return agent


def _check_kernel(config: Config) -> None:
    """Raises ConfigError when the machine swaps and nobody has said that it may, and when the kernel's settings are to
    be as they are, and are not as they should be."""
    problems = Problems()
    if config.fail_swap_on and swaps.is_on():
        problems.add("failed to run Kubelet", swaps.REFUSAL)
    if config.protect_kernel_defaults:
        for problem in tunables.unexpected():
            problems.add("Failed to start ContainerManager", problem)
    problems.raise_if_any()


def _swap(config: Config, machine: machines.Machine, cgroups: Cgroups, recorder: Recorder) -> Swap:
    if swaps.is_on() and not mounts.keeps_tmpfs_in_memory():
        recorder.node(
            "Warning",
            "PossibleMemoryBackedVolumesOnDisk",
            "The tmpfs noswap option is not supported. Memory-backed volumes (e.g. secrets, emptyDirs, etc.) "
            "might be swapped to disk and should no longer be considered secure.",
        )
    limited = config.gates["NodeSwap"] and config.swap_behavior == swaps.LIMITED
    counted = swaps.is_counted(MOUNT, v2=cgroups.v2)
    return Swap(machine.memory, machine.swap, limited=limited, counted=counted, v2=cgroups.v2)


def _enforcer(
    config: Config,
    machine: machines.Machine,
    cgroups: Cgroups,
    watcher: NodeObserver,
    recorder: Recorder,
    clock: Clock,
) -> Enforcer:
    """Raises ConfigError when more is reserved than there is."""
    problems = Problems()
    for problem in render.over_reserved(machine, machines.filesystem(config.root_dir).size, watcher.reserve):
        problems.add("invalid Node Allocatable configuration", problem)
    problems.raise_if_any()
    most = {"pid": machines.processes()[1]}
    kept = {"pid": most["pid"] - watcher.reserve.reserved.get("pid", 0)}
    wanted = plan_enforcement(
        config.enforce_node_allocatable,
        capacity={**render.pods_allocatable(machine, render.Reserve({})), **most},
        allocatable={**render.pods_allocatable(machine, watcher.reserve), **kept},
        reserved={
            "system": (config.system_reserved_cgroup, config.system_reserved),
            "kube": (config.kube_reserved_cgroup, config.kube_reserved),
        },
    )
    return Enforcer(cgroups, wanted, recorder.node, clock)


def _paths(config: Config) -> Paths:
    """The layout; a node with its own pod logs has its own container logs beside them."""
    default = Paths(config.root_dir)
    if config.pod_logs_dir == default.pod_logs:
        return default
    return Paths(config.root_dir, config.pod_logs_dir, config.pod_logs_dir.parent / "containers")


def _finish(pod: dict[str, Any]) -> list[str]:
    """Default and check a static pod as the API server would."""
    # Imported here: a node without manifests does not pay for the API's rules.
    from apimachinery.api import defaults
    from apimachinery.api.validation import validate_create

    defaults.apply(PODS, pod)
    return [str(problem) for problem in validate_create(PODS, pod)]
