"""What the whole machine uses, from /proc: the same on cgroup v1 and v2, whose root groups tell different things."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nodeagent.kubelet.node import machine as machines
from nodeagent.kubelet.node.machine import Filesystem

from .cgroup import Usage, parse_flat
from .network import Interface, default_interface, read_interfaces


@dataclass(frozen=True, slots=True)
class NodeStats:
    """The machine. started: when it booted, seconds since the epoch. default: the interface of the default route.

    tasks, tasks_most: how many there are and may be. file_system: that of the kubelet's directory.
    """

    usage: Usage
    started: int
    interfaces: tuple[Interface, ...]
    default: str
    tasks: int
    tasks_most: int
    file_system: Filesystem


def read_node(clock: Callable[[], tuple[int, int]], directory: Path, root: Path = Path("/")) -> NodeStats:
    """Read all of it. clock: (wall clock, monotonic clock), nanoseconds."""
    proc = root / "proc"
    stat = (proc / "stat").read_text()
    tasks, most = machines.processes(root)
    return NodeStats(
        usage=node_usage(clock(), stat, (proc / "meminfo").read_text(), (proc / "vmstat").read_text()),
        started=next((int(line.split()[1]) for line in stat.splitlines() if line.startswith("btime")), 0),
        interfaces=tuple(read_interfaces("self", proc)),
        default=default_interface((proc / "net/route").read_text()),
        tasks=tasks,
        tasks_most=most,
        file_system=machines.filesystem(directory),
    )


def node_usage(clock: tuple[int, int], stat: str, meminfo: str, vmstat: str) -> Usage:
    """As v2's root group would tell it; v1's root group differs by what the kernel itself holds.

    Pure. stat, meminfo, vmstat: the texts of these files (proc(5)).
    """
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in meminfo.splitlines() if len(line.split()) > 1}
    words = stat.partition("\n")[0].split()
    # user, nice, system, irq, softirq, steal
    busy = sum(int(words[index]) for index in (1, 2, 3, 6, 7, 8))
    events = parse_flat(vmstat)
    used = kib["MemTotal"] - kib["MemFree"]
    return Usage(
        at=clock[0],
        tick=clock[1],
        cpu=busy * 1_000_000_000 // os.sysconf("SC_CLK_TCK"),
        memory=used * 1024,
        working_set=max(0, used - kib.get("Inactive(file)", 0)) * 1024,
        rss=kib.get("AnonPages", 0) * 1024,
        page_faults=events.get("pgfault", 0),
        major_faults=events.get("pgmajfault", 0),
        swap=(kib.get("SwapTotal", 0) - kib.get("SwapFree", 0)) * 1024,
        limit=kib["MemTotal"] * 1024,
        fields={"cache": kib.get("Cached", 0) * 1024, "mapped": kib.get("Mapped", 0) * 1024},
        swap_limit=kib.get("SwapTotal", 0) * 1024,
    )
