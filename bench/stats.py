"""What 20 containers use, read from cgroup files, divided by asking the runtime (ListContainerStats) for the same.

One node, bare containers; both are asked in turns, so that both see the same machine.
"""

from __future__ import annotations

import asyncio
import time

import uvloop

from bench.figure import Figure, p50
from bench.pod import start_bare
from nodeagent.cri.channel import Channel
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet.cgroups.tree import Tree
from nodeagent.kubelet.stats.cgroup import Reader
from tests.netns.kubelet.machine import Machine

CONTAINERS = 20
ROUNDS = 30


def measure() -> list[Figure]:
    machine = Machine("stats")
    try:
        machine.start()
        return uvloop.run(_measure(machine))
    finally:
        machine.stop()


async def _measure(machine: Machine) -> list[Figure]:
    channel = Channel(f"unix://{machine.socket}")
    runtime = RuntimeService(channel)
    ends = [await start_bare(machine, runtime) for _ in range(CONTAINERS)]
    paths = [f"{machine.cgroup}/bare/{container.id}" for container in await runtime.list_containers()]
    assert len(paths) == CONTAINERS
    reader = Reader(Tree(), lambda: (time.time_ns(), time.monotonic_ns()))
    brief, whole, asked = [], [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        used = [reader.usage(path) for path in paths]
        read = time.perf_counter()
        details = [reader.details(path, usage) for path, usage in zip(paths, used, strict=True) if usage is not None]
        detailed = time.perf_counter()
        stats = await runtime.container_stats()
        brief.append(read - began)
        whole.append(detailed - began)
        asked.append(time.perf_counter() - detailed)
        assert len(details) == len(stats) == CONTAINERS
    await asyncio.gather(*(end() for end in ends))
    await channel.close()
    floor, name = p50(asked) * 1000, f"ListContainerStats of {CONTAINERS}"
    each = f"{p50(brief) * 1000 / CONTAINERS:.2f} ms a container"
    return [
        Figure(f"cpu and memory of {CONTAINERS} containers", p50(brief) * 1000, "ms", name, floor, 0.5, note=each),
        Figure(f"all figures of {CONTAINERS} containers", p50(whole) * 1000, "ms", name, floor, 1.0),
    ]
