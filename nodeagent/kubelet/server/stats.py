"""/stats/summary: what the node, its pods and their containers use (stats.k8s.io/v1alpha1)."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet.node import machine as machines
from nodeagent.kubelet.runtime import labels


class Summary:
    """Makes the summary. root: the kubelet's directory, whose file system is the node's."""

    def __init__(self, runtime: RuntimeService, node: str, root: Path, started: datetime, clock: Clock) -> None:
        self._runtime, self._node, self._root, self._started, self._clock = runtime, node, root, started, clock
        self._last: dict[str, tuple[int, int]] = {}

    async def summary(self) -> dict[str, Any]:
        """The whole answer. Raises RuntimeCallError."""
        by_pod: dict[str, dict[str, Any]] = {}
        for stats in await self._runtime.container_stats():
            found = stats.attributes.labels
            uid = found.get(labels.POD_UID)
            if not uid:
                continue
            pod = by_pod.setdefault(
                uid,
                {
                    "podRef": {"name": found[labels.POD_NAME], "namespace": found[labels.POD_NAMESPACE], "uid": uid},
                    "startTime": times.rfc3339(self._started),
                    "containers": [],
                },
            )
            pod["containers"].append(self._container(stats))
        return {"node": self._of_node(), "pods": list(by_pod.values())}

    def _container(self, stats: cri.ContainerStats) -> dict[str, Any]:
        used = int(stats.cpu.usage_core_nano_seconds.value)
        return {
            "name": stats.attributes.metadata.name,
            "startTime": times.rfc3339(self._started),
            "cpu": self._cpu(stats.attributes.id, used, stats.cpu.timestamp),
            "memory": {
                "time": _time(stats.memory.timestamp),
                "workingSetBytes": int(stats.memory.working_set_bytes.value),
                "usageBytes": int(stats.memory.usage_bytes.value),
                "rssBytes": int(stats.memory.rss_bytes.value),
            },
            "rootfs": {
                "time": _time(stats.writable_layer.timestamp),
                "usedBytes": int(stats.writable_layer.used_bytes.value),
                "inodesUsed": int(stats.writable_layer.inodes_used.value),
            },
        }

    def _cpu(self, key: str, used: int, at: int) -> dict[str, Any]:
        """usageNanoCores is the rate since the last summary; absent in the first."""
        result: dict[str, Any] = {"time": _time(at), "usageCoreNanoSeconds": used}
        before = self._last.get(key)
        self._last[key] = (used, at)
        if before is not None and at > before[1]:
            result["usageNanoCores"] = max(0, (used - before[0]) * 1_000_000_000 // (at - before[1]))
        return result

    def _of_node(self) -> dict[str, Any]:
        now = self._clock.now()
        stamp = int(self._clock.monotonic() * 1e9)
        machine = machines.read_machine()
        available = machines.memory_available()
        disk = machines.filesystem(self._root)
        cpu = self._cpu("node", _cpu_nanoseconds(), stamp)
        return {
            "nodeName": self._node,
            "startTime": times.rfc3339(self._started),
            "cpu": {**cpu, "time": times.rfc3339(now)},
            "memory": {
                "time": times.rfc3339(now),
                "availableBytes": available,
                "usageBytes": machine.memory - available,
                "workingSetBytes": machine.memory - available,
            },
            "fs": {
                "time": times.rfc3339(now),
                "availableBytes": disk.available,
                "capacityBytes": disk.size,
                "usedBytes": disk.size - disk.available,
                "inodes": disk.inodes,
                "inodesFree": disk.inodes_free,
            },
        }


def _cpu_nanoseconds() -> int:
    """Busy time of all processors since boot: user, nice, system, irq, softirq, steal (proc(5))."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    busy = sum(int(words[index]) for index in (1, 2, 3, 6, 7, 8))
    return busy * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _time(nanoseconds: int) -> str:
    return times.rfc3339(datetime.fromtimestamp(nanoseconds / 1e9).astimezone())
