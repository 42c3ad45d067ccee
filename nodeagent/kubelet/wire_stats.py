"""Making what measures the node for those who ask over HTTP: a part of `wire`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from apimachinery.kit.clock import Clock
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.images import ImageService

from .cgroups import Cgroups
from .config import Config
from .eviction.measure import directory_usage
from .node.machine import Machine
from .node.status import NodeObserver
from .paths import Paths
from .pods import Pod
from .server.measurements import Measurements
from .stats.cgroup import Reader
from .stats.disk import DiskCache
from .stats.provider import Provider


def build_measurements(
    config: Config,
    machine: Machine,
    runtime: RuntimeService,
    images: ImageService,
    cgroups: Cgroups,
    find: Callable[[str], Pod | None],
    claimed: Callable[[Pod], Mapping[str, tuple[Path, str]]],
    paths: Paths,
    watcher: NodeObserver,
    clock: Clock,
) -> Measurements:
    """find: the pod of a uid, if it is known. claimed: its claims' file systems and names, by volume."""

    def instant() -> tuple[int, int]:
        return int(clock.now().timestamp() * 1e9), int(clock.monotonic() * 1e9)

    disks = DiskCache(directory_usage, clock)
    provider = Provider(runtime, cgroups, Reader(cgroups.tree, instant), disks, paths, find, claimed)
    return Measurements(
        provider,
        images,
        node=config.node_name,
        machine=machine,
        root=config.root_dir,
        groups=cgroups.group_paths(),
        clock=instant,
        runtime_version=lambda: watcher.runtime_version,
    )
