"""What the containers of a pod are started into: its folders, cgroup, volumes and sandbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apimachinery.kit.clock import Clock
from apimachinery.meta.go_print import quoted
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet import dns, observed, pods
from nodeagent.kubelet.actions import Actions
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.credentials import pull_secrets
from nodeagent.kubelet.dns import Resolver
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.objects import ObjectStore
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.addresses import Addresses, AddressTaken
from nodeagent.kubelet.runtime.classes import NoSuchClass, RuntimeClasses
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.render import render_sandbox
from nodeagent.kubelet.runtime.start import Starter, Surroundings
from nodeagent.kubelet.runtime.state import PodState
from nodeagent.kubelet.runtime.user_namespaces import NoUserNamespace, UserNamespaces, apply_to_sandbox
from nodeagent.kubelet.volumes.manager import VolumeManager

log = logging.getLogger(__name__)


@dataclass(slots=True)
class NodeView:
    """What a pass needs to know of the node; filled by the node's own loops.

    resolver: the node's own, read anew for each pod; raises dns.NoResolvConf.
    services: the service environment of a namespace, with links or without; None before services have been read.
    """

    facts: NodeFacts
    resolver: Callable[[], Resolver]
    cluster_dns: tuple[str, ...]
    cluster_domain: str
    network_problem: str | None = None
    runtime_problem: str | None = None
    services: Callable[[str, bool], Mapping[str, str] | None] = lambda _namespace, _links: {}


class Sandboxes:
    """Makes what is missing of it; may be repeated."""

    def __init__(
        self,
        *,
        runtime: RuntimeService,
        observer: Observer,
        addresses: Addresses,
        starter: Starter,
        classes: RuntimeClasses,
        namespaces: UserNamespaces,
        volumes: VolumeManager,
        cgroups: Cgroups | None,
        store: ObjectStore,
        recorder: Recorder,
        paths: Paths,
        node: NodeView,
        clock: Clock,
    ) -> None:
        self._runtime, self._observer, self._addresses, self._starter = runtime, observer, addresses, starter
        self._classes, self._namespaces, self._volumes, self._cgroups = classes, namespaces, volumes, cgroups
        self._store, self._recorder, self._paths, self._node, self._clock = store, recorder, paths, node, clock

    async def ensure(
        self, pod: Pod, state: PodState, plan: Actions, made: Callable[[PodState], object]
    ) -> Surroundings | None:
        """Volumes, cgroup and sandbox. None when there is no sandbox, which has been told. Raises VolumeProblem.

        made: called with what the runtime has of the pod then, when a sandbox was made.
        """
        uid, facts, sandbox_id = pods.uid(pod), self._node.facts, plan.sandbox_id
        self._paths.pod(uid).mkdir(parents=True, exist_ok=True)
        self._paths.pod_log_dir(pod).mkdir(parents=True, exist_ok=True)
        # Asked before the first await: one pass uses one set of services.
        services = self._node.services(pod["metadata"]["namespace"], pod["spec"].get("enableServiceLinks") is not False)
        parent = await self._cgroups.ensure_pod(pod) if self._cgroups is not None else ""
        volumes = await self._volumes.ensure(pod, state.ips, facts)
        try:
            config = render_sandbox(
                pod,
                attempt=plan.attempt,
                cgroup_parent=parent,
                resolver=self._resolver(pod),
                cluster_domain=self._node.cluster_domain,
                paths=self._paths,
            )
        except (dns.NameTooLong, dns.NoResolvConf) as error:
            if plan.create_sandbox:
                self._no_sandbox(pod, error)
            else:
                log.error("GeneratePodSandboxConfig for pod %s failed: %s", pods.describe(pod), error)
            return None
        now = state
        if plan.create_sandbox:
            try:
                handler = await self._classes.handler(pod)
                users = await self._namespaces.ensure(pod, handler)
                apply_to_sandbox(users, config)
                sandbox_id, _ = await asyncio.gather(
                    self._run_sandbox(config, handler),
                    self._starter.look_ahead(pod, [*plan.start_init, *plan.start]),
                )
            except (RuntimeCallError, NoSuchClass, NoUserNamespace) as error:
                self._no_sandbox(pod, error)
                return None
            now = await self._observer.observe_new_sandbox(state, sandbox_id)
        else:
            apply_to_sandbox(users := self._namespaces.held(pod), config)
        try:
            await self._addresses.claim(now)
        except AddressTaken as error:
            self._no_sandbox(pod, error)
            return None
        if plan.create_sandbox:
            made(now)
        secrets, missing = await pull_secrets(self._store, pod)
        if missing:
            text = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            self._recorder.pod(
                pod,
                "Warning",
                "FailedToRetrieveImagePullSecret",
                f"{text}; attempting to pull the image may not succeed.",
            )
        return Surroundings(sandbox_id, config, now.ips, volumes, services, secrets, facts, users)

    def _resolver(self, pod: Pod) -> Resolver:
        def warn(reason: str, message: str) -> None:
            if reason == dns.MISSING:
                self._recorder.node("Warning", reason, dns.NO_CLUSTER_DNS)
            self._recorder.pod(pod, "Warning", reason, message)

        node = self._node
        return dns.pod_resolver(pod, node.resolver(), node.cluster_dns, node.cluster_domain, warn)

    async def _run_sandbox(self, config: cri.PodSandboxConfig, handler: str) -> str:
        began, failed = self._clock.monotonic(), True
        try:
            identity = await self._runtime.run_pod_sandbox(config, handler)
            failed = False
            return identity
        finally:
            observed.sandbox_ran(handler, self._clock.monotonic() - began, failed=failed)

    def _no_sandbox(self, pod: Pod, why: Exception) -> None:
        self._recorder.pod(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {why}")
        name = quoted(pods.describe(pod))
        told = quoted(f"Failed to create sandbox for pod {name}: {why}")
        what = f'failed to "CreatePodSandbox" for {name} with CreatePodSandboxError: {told}'
        log.error('"Error syncing pod, skipping" err=%s %s', quoted(what), pods.logged(pod))
