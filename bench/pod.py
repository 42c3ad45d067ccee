"""A pod from its creation to Running as a watch sees it, divided by the bare CRI calls for the same pod.

Both on one warm node: a network namespace with its own containerd, our kubelet, our control plane, and the reference
bridge plugin. The floor is RunPodSandbox, CreateContainer, StartContainer on the same containerd, taken in turns with
the pods, so that both see the same machine; their sandbox has the filter of system calls that every kubelet asks for.
Also: the wait until a watch sees the pod gone, over StopPodSandbox and RemovePodSandbox.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from apimachinery.api.catalogue import PODS
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import Client
from bench.figure import Figure, p50
from nodeagent.cri import messages as cri
from nodeagent.cri.channel import Channel
from nodeagent.cri.client import RuntimeService
from tests.netns.kubelet import oci
from tests.netns.kubelet.agent import Kubelet
from tests.netns.kubelet.cluster import Cluster
from tests.netns.kubelet.machine import Machine

ROUNDS = 15
WARM_UP = 2
# Ends at once on SIGTERM, so that no grace period is in the figures.
COMMAND = ["sh", "-c", "trap exit TERM; sleep 1000 & wait"]


def measure() -> list[Figure]:
    machine = Machine("bench")
    cluster = Cluster(machine)
    kubelet: Kubelet | None = None
    try:
        machine.start()
        cluster.start()
        kubelet = Kubelet(machine, "bench", cluster.node_kubeconfig("bench"))
        kubelet.start()
        cluster.kubectl("wait", "--for=condition=Ready", "node/bench", "--timeout=30s")
        return uvloop.run(_measure(machine, cluster))
    finally:
        if kubelet is not None:
            kubelet.stop()
        cluster.stop()
        machine.stop()


async def _measure(machine: Machine, cluster: Cluster) -> list[Figure]:
    channel = Channel(f"unix://{machine.socket}")
    ours: list[tuple[float, float]] = []
    bare: list[tuple[float, float]] = []
    async with Client(load_kubeconfig(cluster.admin), "bench") as client:
        for _ in range(WARM_UP + ROUNDS):
            bare.append(await _bare(machine, RuntimeService(channel)))
            ours.append(await _pod(client))
    await channel.close()
    start, end = [list(column) for column in zip(*ours[WARM_UP:], strict=True)]
    bare_start, bare_end = [list(column) for column in zip(*bare[WARM_UP:], strict=True)]
    note = f"p90 {sorted(start)[int(len(start) * 0.9)] * 1000:.0f} ms"
    calls = "RunPodSandbox + CreateContainer + StartContainer"
    return [
        Figure("created → Running", p50(start) * 1000, "ms", calls, p50(bare_start) * 1000, 1.25, note=note),
        Figure("deleted → gone", p50(end) * 1000, "ms", "StopPodSandbox + RemovePodSandbox", p50(bare_end) * 1000, 1.3),
    ]


async def _bare(machine: Machine, runtime: RuntimeService) -> tuple[float, float]:
    """Seconds to start, and to end, one pod by bare calls."""
    began = time.perf_counter()
    end = await start_bare(machine, runtime)
    running = time.perf_counter()
    await end()
    return running - began, time.perf_counter() - running


async def start_bare(machine: Machine, runtime: RuntimeService) -> Callable[[], Awaitable[None]]:
    """Start a pod by bare calls; returns what ends it."""
    uid = str(uuid.uuid4())
    logs = machine.dir / "bare" / uid
    logs.mkdir(parents=True)
    config = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=f"bare-{uid[:8]}", namespace="default", uid=uid),
        log_directory=str(logs),
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=f"{machine.cgroup}/bare",
            # As every kubelet asks for it: the sandbox's filter alone costs runc some 15 ms of processor time.
            security_context=cri.LinuxSandboxSecurityContext(
                seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
            ),
        ),
    )
    container = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name="main"),
        image=cri.ImageSpec(image=oci.BUSYBOX),
        command=COMMAND,
        log_path="main.log",
    )
    sandbox = await runtime.run_pod_sandbox(config)
    await runtime.start_container(await runtime.create_container(sandbox, container, config))

    async def end() -> None:
        await runtime.stop_pod_sandbox(sandbox)
        await runtime.remove_pod_sandbox(sandbox)

    return end


async def _pod(client: Client) -> tuple[float, float]:
    """Seconds from creation to Running, and from deletion to gone, of one pod through the API."""
    name = f"pod-{uuid.uuid4().hex[:8]}"
    container = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": COMMAND}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 10},
    }
    seen: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
    listed = await client.list(PODS, "default", field_selector=f"metadata.name={name}")
    watch = asyncio.create_task(_watch(client, name, listed["metadata"]["resourceVersion"], seen))
    began = time.perf_counter()
    await client.create(PODS, pod, "default")
    running = await _until(seen, "Running")
    deleted = time.perf_counter()
    await client.delete(PODS, name, "default")
    gone = await _until(seen, "DELETED")
    watch.cancel()
    return running - began, gone - deleted


async def _watch(client: Client, name: str, version: str, seen: asyncio.Queue[tuple[float, str]]) -> None:
    selector = f"metadata.name={name}"
    async for event in client.watch(PODS, "default", field_selector=selector, resource_version=version):
        status: dict[str, Any] = event.object.get("status") or {}
        seen.put_nowait((time.perf_counter(), "DELETED" if event.type == "DELETED" else status.get("phase", "")))


async def _until(seen: asyncio.Queue[tuple[float, str]], wanted: str) -> float:
    async with asyncio.timeout(60):
        while True:
            at, what = await seen.get()
            if what == wanted:
                return at
