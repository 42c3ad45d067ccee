"""The CRI's sandbox and container configurations of a pod: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nodeagent.cri import messages as cri
from nodeagent.kubelet import dns, pods, qos
from nodeagent.kubelet.cgroups.settings import page_size_text
from nodeagent.kubelet.dns import Resolver
from nodeagent.kubelet.environment import ConfigProblem
from nodeagent.kubelet.expansion import expand, references
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.volumes.manager import HostVolume

from . import labels, security
from .swap import Swap

_PROTOCOLS = {"TCP": cri.TCP, "UDP": cri.UDP, "SCTP": cri.SCTP}
_PROPAGATION = {
    "None": cri.PROPAGATION_PRIVATE,
    "HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL,
}


def render_sandbox(
    pod: Pod, *, attempt: int, cgroup_parent: str, resolver: Resolver, cluster_domain: str, paths: Paths
) -> cri.PodSandboxConfig:
    """The pod's sandbox. attempt: how many sandboxes the pod had before. cgroup_parent: the pod's cgroup.

    Raises NameTooLong.
    """
    metadata = pod["metadata"]
    hostname = dns.kernel_hostname(pod, cluster_domain)
    sysctls = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(
            name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"], attempt=attempt
        ),
        hostname="" if pods.host_network(pod) else hostname,
        log_directory=str(paths.pod_log_dir(pod)),
        dns_config=cri.DNSConfig(servers=resolver.servers, searches=resolver.searches, options=resolver.options),
        port_mappings=port_mappings(pod),
        labels=labels.sandbox_labels(pod),
        annotations=dict(metadata.get("annotations") or {}),
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=security.sandbox_context(pod, str(paths.root / "seccomp")),
            sysctls={entry["name"]: entry["value"] for entry in sysctls},
        ),
    )


def port_mappings(pod: Mapping[str, Any]) -> list[cri.PortMapping]:
    """The host ports of the pod's containers and sidecars; none on the host's network."""
    if pods.host_network(pod):
        return []
    mappings = []
    for kind, container in pods.all_containers(pod):
        if kind == "ephemeral" or (kind == "init" and not pods.is_sidecar(container)):
            continue
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                mappings.append(
                    cri.PortMapping(
                        protocol=_PROTOCOLS[port.get("protocol") or "TCP"],
                        container_port=int(port["containerPort"]),
                        host_port=int(port["hostPort"]),
                        host_ip=port.get("hostIP") or "",
                    )
                )
    return mappings


@dataclass(frozen=True, slots=True)
class ContainerInputs:
    """What a container's configuration is made of besides its spec.

    image_ref: what the runtime calls the image. env: rendered. mounts: of volumes and of the kubelet's own files.
    node_memory: bytes of the node, for the OOM score. page_sizes: of its huge pages, bytes. cpu_quota: cpu limits hold.
    swap: of the node; None leaves it to the runtime. memory_qos: of the node, None while its gate is closed.
    volume_groups: of the pod's volumes.
    """

    image_ref: str
    image: cri.Image | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[cri.Mount] = ()
    devices: Sequence[cri.Device] = ()
    restart_count: int = 0
    node_memory: int = 0
    target_id: str = ""
    seccomp_root: str = "/var/lib/kubelet/seccomp"
    seccomp_default: bool = False
    cgroup_v2: bool = False
    cpu_quota: bool = True
    page_sizes: Sequence[int] = ()
    swap: Swap | None = None
    memory_qos: qos.MemoryQos | None = None
    volume_groups: Collection[int] = ()


def render_container(pod: Pod, container: Container, inputs: ContainerInputs) -> cri.ContainerConfig:
    """One container. Raises ConfigProblem when its security context cannot be honoured."""
    env = inputs.env
    limits = qos.container_limits(container, cpu_quota=inputs.cpu_quota, pod=pod)
    resources = cri.LinuxContainerResources(
        cpu_period=limits.cpu_period if limits.cpu_quota else 0,
        cpu_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        memory_limit_in_bytes=limits.memory,
        oom_score_adj=qos.oom_score_adj(pod, container, inputs.node_memory),
        hugepage_limits=[
            cri.HugepageLimit(page_size=page_size_text(size), limit=limits.hugepages.get(size, 0))
            for size in inputs.page_sizes
        ],
    )
    if inputs.cgroup_v2:
        resources.unified["memory.oom.group"] = "1"
        if inputs.memory_qos is not None:
            resources.unified.update(inputs.memory_qos.settings(pod, container))
    if inputs.swap is not None:
        inputs.swap.apply(pod, container, resources)
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=container["name"], attempt=inputs.restart_count),
        image=cri.ImageSpec(image=inputs.image_ref, user_specified_image=container.get("image", "")),
        command=[expand(part, env) for part in container.get("command") or ()],
        args=[expand(part, env) for part in container.get("args") or ()],
        working_dir=container.get("workingDir") or "",
        envs=[cri.KeyValue(key=key, value=text) for key, text in env.items()],
        mounts=inputs.mounts,
        devices=inputs.devices,
        labels=labels.container_labels(pod, container),
        annotations=labels.container_annotations(pod, container, inputs.restart_count),
        log_path=f"{container['name']}/{inputs.restart_count}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=cri.LinuxContainerConfig(
            resources=resources,
            security_context=security.container_context(
                pod,
                container,
                inputs.image,
                inputs.seccomp_root,
                inputs.target_id,
                seccomp_default=inputs.seccomp_default,
                volume_groups=inputs.volume_groups,
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class MountPlan:
    """A volume mount with its place on the node; subpath: what to bind first, "" for the whole volume.

    volume: None for what the runtime brings itself. name: the volume's.
    """

    mount: cri.Mount
    volume: Path | None
    subpath: str = ""
    name: str = ""


def plan_mounts(
    container: Mapping[str, Any],
    volumes: Mapping[str, HostVolume],
    env: Mapping[str, str],
    *,
    images: Mapping[str, cri.ImageSpec] = MappingProxyType({}),
    recursive: bool = False,
) -> list[MountPlan]:
    """The container's volume mounts, in order. Raises ConfigProblem for a volume that is not there.

    images: of the pod's image volumes, by the volume's name (KEP-4639). recursive: whether the runtime makes mounts
    below a read-only one read-only too (KEP-3857).
    """
    plans = []
    for asked in container.get("volumeMounts") or ():
        target = asked["mountPath"] if asked["mountPath"].startswith("/") else f"/{asked['mountPath']}"
        propagation = _PROPAGATION[asked.get("mountPropagation") or "None"]
        downwards = is_recursive(asked, supported=recursive)
        if (image := images.get(asked["name"])) is not None:
            # It is read-only whether the mount says so or not: containerd refuses it otherwise.
            brought = cri.Mount(
                container_path=target,
                image=image,
                readonly=True,
                propagation=propagation,
                recursive_read_only=downwards,
            )
            plans.append(MountPlan(brought, None))
            continue
        volume = volumes.get(asked["name"])
        if volume is None:
            raise ConfigProblem(f'cannot find volume "{asked["name"]}" to mount into container "{container["name"]}"')
        subpath = asked.get("subPath") or ""
        if asked.get("subPathExpr"):
            if missing := sorted(name for name in references(asked["subPathExpr"]) if not env.get(name)):
                # Also of what is empty: the whole volume would be mounted.
                raise ConfigProblem(f"missing value for {', '.join(missing)}")
            subpath = expand(asked["subPathExpr"], env)
        mount = cri.Mount(
            container_path=target,
            host_path=str(volume.path),
            readonly=bool(asked.get("readOnly")) or not volume.writable,
            propagation=propagation,
            recursive_read_only=downwards,
        )
        plans.append(MountPlan(mount, volume.path, subpath, asked["name"]))
    return plans


def asks_recursive(container: Mapping[str, Any]) -> bool:
    """Whether a mount of the container is to be read-only all the way down."""
    return any(asked.get("recursiveReadOnly") for asked in container.get("volumeMounts") or ())


def is_recursive(asked: Mapping[str, Any], *, supported: bool) -> bool:
    """Whether this mount is made read-only all the way down (KEP-3857). Raises ConfigProblem when it cannot be."""
    mode = asked.get("recursiveReadOnly") or "Disabled"
    if mode == "Disabled":
        return False
    mount = f'volume "{asked["name"]}" requested recursive read-only mode'
    why = f"failed to resolve recursive read-only mode: {mount}"
    if not asked.get("readOnly"):
        raise ConfigProblem(f"{why}, but it is not read-only")
    if (asked.get("mountPropagation") or "None") != "None":
        raise ConfigProblem(f"{why}, but it is not compatible with propagation {asked['mountPropagation']}")
    if mode == "Enabled" and not supported:
        raise ConfigProblem(f"{why}, but it is not supported by the runtime")
    return supported


def plan_devices(container: Mapping[str, Any], volumes: Mapping[str, HostVolume]) -> list[cri.Device]:
    """The raw devices that the container takes. Raises ConfigProblem for one that is not there."""
    devices = []
    for asked in container.get("volumeDevices") or ():
        volume = volumes.get(asked["name"])
        if volume is None or not volume.block:
            name = container["name"]
            raise ConfigProblem(f'cannot find volume "{asked["name"]}" to pass into container "{name}"')
        permissions = "mrw" if volume.writable else "r"
        devices.append(
            cri.Device(container_path=asked["devicePath"], host_path=str(volume.path), permissions=permissions)
        )
    return devices


def mounts_over(container: Mapping[str, Any], path: str) -> bool:
    """Whether the container's own volume mounts cover `path` already."""
    return any(asked["mountPath"].rstrip("/") == path for asked in container.get("volumeMounts") or ())
