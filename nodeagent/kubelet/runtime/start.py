"""Starting one sandbox or one container, every step with upstream's reason and event when it fails."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import to_its_end
from apimachinery.meta.status import ApiError
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet import dns, environment, pods
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.environment import ConfigProblem, References
from nodeagent.kubelet.images import ImageManager, ImageProblem, Say
from nodeagent.kubelet.lifecycle import HookFailed, run_hook
from nodeagent.kubelet.objects import ApiAway, ObjectStore
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.qos import MemoryQos
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.volumes.manager import HostVolume
from nodeagent.kubelet.volumes.subpath import SubPathProblem, bind_mount

from . import user_namespaces
from .handlers import Handlers
from .kill import Ending, Killer
from .render import ContainerInputs, asks_recursive, mounts_over, plan_devices, plan_mounts, render_container
from .state import ContainerState, State
from .swap import Swap

log = logging.getLogger(__name__)


_SHOW_FAILURE = 2.0
_STARTING = 10.0  # seconds that a container which is being started may take, when its pod is to end


class ServicesUnread(ConfigProblem):
    """The agent has just begun, and does not know the cluster's services yet."""


class StartProblem(Exception):
    """A container could not be started. reason: as in its waiting state. retry_in: seconds, if it is known."""

    def __init__(self, reason: str, message: str, retry_in: float | None = None) -> None:
        self.reason, self.retry_in = reason, retry_in
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod's containers are started into.

    ips: of the sandbox. services: service environment, None when it is not known yet. secrets: of imagePullSecrets.
    users: its user namespace.
    """

    sandbox_id: str
    sandbox_config: cri.PodSandboxConfig
    ips: tuple[str, ...]
    volumes: Mapping[str, HostVolume]
    services: Mapping[str, str] | None
    secrets: Sequence[Mapping[str, Any]]
    node: NodeFacts
    users: cri.UserNamespace | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What of the node goes into every container. memory: bytes. page_sizes: of huge pages, bytes."""

    memory: int
    cgroup_v2: bool
    cluster_domain: str
    cpu_quota: bool = True
    page_sizes: tuple[int, ...] = ()
    seccomp_default: bool = False
    swap: Swap | None = None
    image_volumes: bool = False
    memory_qos: MemoryQos | None = None


class Starter:
    """Creates and starts containers."""

    def __init__(
        self,
        runtime: RuntimeService,
        images: ImageManager,
        store: ObjectStore,
        paths: Paths,
        recorder: Recorder,
        clock: Clock,
        machine: Machine,
        handlers: Handlers,
        killer: Killer,
    ) -> None:
        self._killer = killer
        self._runtime, self._images, self._store, self._paths = runtime, images, store, paths
        self._recorder, self._clock, self._machine, self._handlers = recorder, clock, machine, handlers

    async def look_ahead(self, pod: Pod, names: Sequence[str]) -> None:
        """Look for the images of these containers, so that `start` need not. Never raises."""
        found = (pods.find_container(pod, name) for name in names)
        await self._images.look_ahead(pod, [entry[1] for entry in found if entry is not None])

    async def start(
        self, pod: Pod, container: Container, around: Surroundings, restart_count: int, target_id: str = ""
    ) -> str:
        """Pull, configure, create, start, post-start; returns the container's id. Raises StartProblem."""
        name = container["name"]

        def say(kind: str, reason: str, message: str) -> None:
            self._recorder.container(pod, name, kind, reason, message)

        mounted = {
            volume["name"]: await self._image(pod, image_volume(volume), around, say)
            for volume in self._image_volumes(pod, container)
        }
        image = await self._image(pod, container, around, say)
        try:
            config = await self._configure(pod, container, image, mounted, around, restart_count, target_id)
        except (ConfigProblem, SubPathProblem, ApiAway, ApiUnreachable, ApiError, OSError) as error:
            say("Warning", "Failed", f"Error: {error}")
            soon = _SHOW_FAILURE if isinstance(error, ServicesUnread) else None
            raise StartProblem("CreateContainerConfigError", str(error), soon) from error
        try:
            container_id = await self._runtime.create_container(around.sandbox_id, config, around.sandbox_config)
        except RuntimeCallError as error:
            say("Warning", "Failed", f"Error: {error.message}")
            raise StartProblem("CreateContainerError", error.message) from error
        say("Normal", "Created", f"Created container: {name}")
        try:
            # Broken off, it would leave a container that "could not be started", in a pod that only was deleted.
            await to_its_end(self._runtime.start_container(container_id), _STARTING)
        except RuntimeCallError as error:
            say("Warning", "Failed", f"Error: {error.message}")
            raise StartProblem("RunContainerError", error.message) from error
        say("Normal", "Started", f"Started container {name}")
        self._link_log(pod, name, container_id, restart_count)
        await self._post_start(pod, container, container_id, around)
        return container_id

    async def _image(self, pod: Pod, container: Container, around: Surroundings, say: Say) -> cri.Image:
        try:
            return await self._images.ensure(pod, container, say, around.secrets, around.sandbox_config)
        except ImageProblem as error:
            say("Warning", "Failed", f"Error: {error.reason}")
            # The failure itself is shown for a moment, then that we are waiting, until the next try.
            backing_off = error.reason == "ImagePullBackOff"
            retry = self._images.retry_in(pod, container) if backing_off else _SHOW_FAILURE
            raise StartProblem(error.reason, str(error), retry) from error

    def _image_volumes(self, pod: Pod, container: Container) -> list[Mapping[str, Any]]:
        """The image volumes that the container mounts."""
        if not self._machine.image_volumes:
            return []
        asked = {mount["name"] for mount in container.get("volumeMounts") or ()}
        return [each for each in pod["spec"].get("volumes") or () if "image" in each and each["name"] in asked]

    async def _configure(
        self,
        pod: Pod,
        container: Container,
        image: cri.Image,
        mounted: Mapping[str, cri.Image],
        around: Surroundings,
        restart_count: int,
        target_id: str,
    ) -> cri.ContainerConfig:
        self._paths.container_log(pod, container["name"], restart_count).parent.mkdir(
            parents=True, exist_ok=True, mode=0o755
        )
        if around.services is None and not pods.is_static(pod):
            # Without KUBERNETES_SERVICE_HOST it would not find the API for as long as it runs.
            raise ServicesUnread("services have not yet been read at least once, cannot construct envvars")
        references = await self._references(pod, container)
        env = environment.render(
            pod, container, ips=around.ips, node=around.node, services=around.services or {}, references=references
        )
        recursive = asks_recursive(container) and await self._handlers.can_mount_recursively(pod)
        mounts = [
            *self._volume_mounts(pod, container, around, env, mounted, recursive),
            *self._own_mounts(pod, container, around, restart_count),
        ]
        inputs = ContainerInputs(
            image_ref=image.id,
            image=image,
            env=env,
            mounts=mounts,
            devices=plan_devices(container, around.volumes),
            restart_count=restart_count,
            node_memory=self._machine.memory,
            target_id=target_id,
            seccomp_root=str(self._paths.root / "seccomp"),
            seccomp_default=self._machine.seccomp_default,
            cgroup_v2=self._machine.cgroup_v2,
            cpu_quota=self._machine.cpu_quota,
            page_sizes=self._machine.page_sizes,
            swap=self._machine.swap,
            memory_qos=self._machine.memory_qos,
            volume_groups={volume.group for volume in around.volumes.values() if volume.group is not None},
        )
        config = render_container(pod, container, inputs)
        if around.users is not None:
            user_namespaces.apply(around.users, config)
        return config

    async def _references(self, pod: Pod, container: Container) -> References:
        maps, secrets = environment.referenced(container)
        namespace = pod["metadata"]["namespace"]
        return References(
            {name: await self._store.latest("configMap", namespace, name) for name in maps},
            {name: await self._store.latest("secret", namespace, name) for name in secrets},
        )

    def _volume_mounts(
        self,
        pod: Pod,
        container: Container,
        around: Surroundings,
        env: Mapping[str, str],
        mounted: Mapping[str, cri.Image],
        recursive: bool,
    ) -> list[cri.Mount]:
        notes = pod["metadata"].get("annotations") or {}
        images = {name: cri.ImageSpec(image=image.id, annotations=notes) for name, image in mounted.items()}
        mounts = []
        for index, plan in enumerate(plan_mounts(container, around.volumes, env, images=images, recursive=recursive)):
            if plan.volume is None:
                mounts.append(plan.mount)
                continue
            if plan.subpath:
                folder = self._paths.subpaths(pods.uid(pod)) / plan.volume.name / container["name"]
                target = folder / str(index)
                bind_mount(plan.name, container["name"], plan.volume, plan.subpath, target)
                plan.mount.host_path = str(target)
            elif not plan.volume.exists():
                # A hostPath without a type: docker's old habit, kept by every runtime since.
                plan.volume.mkdir(parents=True, mode=0o755)
            mounts.append(plan.mount)
        return mounts

    def _own_mounts(self, pod: Pod, container: Container, around: Surroundings, restart_count: int) -> list[cri.Mount]:
        uid, name = pods.uid(pod), container["name"]
        mounts = []
        if not mounts_over(container, "/etc/hosts"):
            hosts = self._paths.etc_hosts(uid)
            ips = around.node.host_ips if pods.host_network(pod) else around.ips
            host_file = Path("/etc/hosts").read_text() if pods.host_network(pod) else ""
            # Written in place, not renamed: running containers have this inode mounted.
            hosts.write_text(dns.render_hosts(pod, ips, host_file, self._machine.cluster_domain))
            hosts.chmod(0o644)
            mounts.append(cri.Mount(container_path="/etc/hosts", host_path=str(hosts)))
        path = container.get("terminationMessagePath") or "/dev/termination-log"
        folder = self._paths.container(uid, name)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / hashlib.sha256(f"{uid}/{name}/{restart_count}".encode()).hexdigest()[:8]
        file.touch()
        file.chmod(0o666)
        mounts.append(cri.Mount(container_path=path, host_path=str(file)))
        return mounts

    def _link_log(self, pod: Pod, name: str, container_id: str, restart_count: int) -> None:
        link = self._paths.legacy_symlink(pod, name, container_id)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self._paths.container_log(pod, name, restart_count))
        except OSError as error:
            log.warning("Failed to create legacy symbolic link %s: %s", link, error)

    async def _post_start(self, pod: Pod, container: Container, container_id: str, around: Surroundings) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        ip = around.ips[0] if around.ips else (around.node.host_ips or ("",))[0]
        whose, say = pods.describe(pod), partial(self._recorder.pod, pod)
        try:
            await run_hook(self._runtime, self._clock, handler, container_id, container, ip, whose=whose, say=say)
        except HookFailed as error:
            log.error("PostStart hook of %s failed: %s", json.dumps(container["name"]), error)
            self._recorder.container(pod, container["name"], "Warning", "FailedPostStartHook", "PostStartHook failed")
            await self._end(pod, ContainerState(container_id, container["name"], State.RUNNING), around)
            raise StartProblem("PostStartHookError", str(error)) from error

    async def _end(self, pod: Pod, container: ContainerState, around: Surroundings) -> None:
        """End a container whose hook has failed, as any other: its preStop hook runs, and its end is told."""
        try:
            await self._killer.kill_container(pod, container, Ending("FailedPostStartHook"), around.ips)
        except RuntimeCallError as error:
            log.error("Failed to kill container %s: %s", container.name, error)

    def remove_logs(self, pod: Mapping[str, Any]) -> None:
        """Delete the pod's log directory: the pod is gone from the API."""
        shutil.rmtree(self._paths.pod_log_dir(pod), ignore_errors=True)


def image_volume(volume: Mapping[str, Any]) -> Container:
    """What of an image volume decides how its image is pulled, as a container has it."""
    source = volume["image"]
    policy = {"imagePullPolicy": source["pullPolicy"]} if source.get("pullPolicy") else {}
    return {"name": volume["name"], "image": source.get("reference") or "", **policy}
