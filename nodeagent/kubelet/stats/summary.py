"""/stats/summary (stats.k8s.io/v1alpha1): the node, its pods and containers as one document. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from apimachinery.meta import times
from nodeagent.kubelet.eviction.usage import Disk
from nodeagent.kubelet.node.machine import Filesystem

from .cgroup import Usage
from .network import Interface
from .node import NodeStats
from .provider import ContainerStats, PodStats

Document = dict[str, Any]

# cadvisor names a pod's own interface so, and shows its figures beside the list.
_POD_INTERFACE = "eth0"


class Rates:
    """usageNanoCores: how much cpu was used per second since a cgroup was last looked at; unknown the first time."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def of(self, path: str, usage: Usage) -> int | None:
        before = self._last.get(path)
        self._last[path] = (usage.cpu, usage.tick)
        if before is None or usage.tick <= before[1] or usage.cpu < before[0]:
            return None
        return (usage.cpu - before[0]) * 1_000_000_000 // (usage.tick - before[1])

    def keep(self, paths: set[str]) -> None:
        """Forget every other cgroup."""
        self._last = {path: known for path, known in self._last.items() if path in paths}


def render_summary(
    name: str,
    node: NodeStats,
    pods: Sequence[PodStats],
    all_pods: Usage | None,
    image_fs: tuple[Filesystem, Disk] | None,
    rates: Rates,
    *,
    only_cpu_and_memory: bool = False,
) -> Document:
    """The document. all_pods: of the cgroup of all pods. image_fs: with what the images use of it."""
    rates.keep({"/", "pods", *(pod.path for pod in pods), *(each.path for pod in pods for each in pod.containers)})
    document: Document = {
        "nodeName": name,
        "systemContainers": [],
        "startTime": _time(node.started * 10**9),
        **_cpu_and_memory("/", node.usage, rates),
    }
    if all_pods is not None:
        document["systemContainers"] = [
            {"name": "pods", "startTime": document["startTime"], **_cpu_and_memory("pods", all_pods, rates)}
        ]
    if not only_cpu_and_memory:
        stamp = _time(node.usage.at)
        file_system = _fs(stamp, node.file_system, _used(node.file_system))
        document["network"] = _network(stamp, node.interfaces, node.default)
        document["fs"] = file_system
        images = file_system if image_fs is None else _fs(stamp, *image_fs)
        document["runtime"] = {"imageFs": images, "containerFs": file_system}
        document["rlimit"] = {"time": stamp, "maxpid": node.tasks_most, "curproc": node.tasks}
    listed = [_pod(pod, node.file_system, rates, only_cpu_and_memory) for pod in pods]
    return {"node": document, "pods": listed}


def _pod(pod: PodStats, node_fs: Filesystem, rates: Rates, only_cpu_and_memory: bool) -> Document:
    stamp = _time(pod.usage.at)
    found: Document = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": _time(pod.started),
        "containers": [_container(each, node_fs, rates, only_cpu_and_memory) for each in pod.containers],
        **_cpu_and_memory(pod.path, pod.usage, rates),
    }
    if only_cpu_and_memory:
        return found
    if pod.interfaces:
        found["network"] = _network(stamp, pod.interfaces, _POD_INTERFACE)
    volumes = [
        {
            **_fs(stamp, volume.file_system, volume.used),
            "name": name,
            **({"pvcRef": {"name": volume.claim, "namespace": pod.namespace}} if volume.claim else {}),
        }
        for name, volume in sorted(pod.volumes.items())
    ]
    if volumes:
        found["volume"] = volumes
    written = sum((volume.used for volume in pod.volumes.values() if volume.ephemeral), Disk())
    for container in pod.containers:
        written += (container.rootfs or Disk()) + (container.logs or Disk())
    found["ephemeral-storage"] = _fs(stamp, node_fs, written)
    found["process_stats"] = {"process_count": pod.processes}
    return found


def _container(each: ContainerStats, node_fs: Filesystem, rates: Rates, only_cpu_and_memory: bool) -> Document:
    stamp = _time(each.usage.at)
    found: Document = {
        "name": each.name,
        "startTime": _time(each.started),
        **_cpu_and_memory(each.path, each.usage, rates),
    }
    if not only_cpu_and_memory:
        if each.rootfs is not None:
            found["rootfs"] = _fs(stamp, node_fs, each.rootfs)
        if each.logs is not None:
            found["logs"] = _fs(stamp, node_fs, each.logs)
    return found


def _cpu_and_memory(path: str, usage: Usage, rates: Rates) -> Document:
    stamp, rate = _time(usage.at), rates.of(path, usage)
    cpu: Document = {"time": stamp, "usageCoreNanoSeconds": usage.cpu}
    if rate is not None:
        cpu["usageNanoCores"] = rate
    memory: Document = {
        "time": stamp,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_faults,
    }
    if usage.limit is not None:
        memory["availableBytes"] = max(0, usage.limit - usage.working_set)
    swap: Document = {"time": stamp, "swapUsageBytes": usage.swap}
    if usage.swap_limit is not None:
        swap["swapAvailableBytes"] = max(0, usage.swap_limit - usage.swap)
    return {"cpu": cpu, "memory": memory, "swap": swap}


def _network(stamp: str, interfaces: Sequence[Interface], default: str) -> Document:
    listed = [
        {
            "name": each.name,
            "rxBytes": each.rx_bytes,
            "rxErrors": each.rx_errors,
            "txBytes": each.tx_bytes,
            "txErrors": each.tx_errors,
        }
        for each in interfaces
    ]
    own: Document = next((each for each in listed if each["name"] == default), {"name": ""})
    return {"time": stamp, **own, "interfaces": listed}


def _fs(stamp: str, file_system: Filesystem, used: Disk) -> Document:
    """Sizes are of the file system, use is what is meant by the field."""
    return {
        "time": stamp,
        "availableBytes": file_system.available,
        "capacityBytes": file_system.size,
        "usedBytes": used.used,
        "inodesFree": file_system.inodes_free,
        "inodes": file_system.inodes,
        "inodesUsed": used.inodes,
    }


def _used(file_system: Filesystem) -> Disk:
    return Disk(file_system.size - file_system.available, file_system.inodes - file_system.inodes_free)


def _time(nanoseconds: int) -> str:
    return times.rfc3339(datetime.fromtimestamp(nanoseconds // 10**9, UTC))
