"""What a cgroup uses, from its files (0.1-0.8 ms; the same through the CRI takes 5-65 ms).

Definitions are cadvisor's: the working set is what is used less the file pages that the kernel would drop first. v2's
names and units: cgroup-v2.rst; v1's: memory.rst, cpuacct.rst. On v1 the `total_` figures include children.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.kubelet.cgroups.tree import Tree

from . import block_io
from .block_io import BlockIo

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# What v1 says of "no limit": the greatest number of pages.
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Usage:
    """The two resources that decide everything. Times in nanoseconds, memory in bytes.

    at: the wall clock, since the epoch. tick: a monotonic clock, for rates. limit, swap_limit: None for no limit; the
    latter is of memory and swap together on v1.
    """

    at: int
    tick: int
    cpu: int
    memory: int
    working_set: int
    rss: int
    page_faults: int
    major_faults: int
    swap: int
    limit: int | None
    fields: Mapping[str, int]
    swap_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """What only /metrics/cadvisor shows. Times in nanoseconds, memory in bytes; shares as v1 counts them.

    io: the block devices that were read from or written to.
    """

    cpu_user: int
    cpu_system: int
    periods: int
    throttled_periods: int
    throttled: int
    cache: int
    mapped: int
    most: int
    failures: int
    oom_kills: int
    kernel: int
    processes: int
    threads: int
    threads_most: int
    shares: int
    quota: int
    period: int
    io: tuple[BlockIo, ...] = ()


def parse_flat(text: str) -> dict[str, int]:
    """A flat-keyed file (`key value` lines). What is no number is left out."""
    found = {}
    for line in text.splitlines():
        key, _, number = line.partition(" ")
        if number.isdigit():
            found[key] = int(number)
    return found


class Reader:
    """Reads cgroups. clock: (wall clock, monotonic clock), nanoseconds."""

    def __init__(self, tree: Tree, clock: Callable[[], tuple[int, int]]) -> None:
        self._tree, self._clock = tree, clock

    def usage(self, path: str) -> Usage | None:
        """What the cgroup and those in it use; None when it is gone."""
        at, tick = self._clock()
        try:
            return self._usage_v2(path, at, tick) if self._tree.v2 else self._usage_v1(path, at, tick)
        except (OSError, ValueError):
            return None

    def details(self, path: str, usage: Usage) -> Details | None:
        """The rest; None when the cgroup is gone."""
        try:
            return self._details_v2(path, usage) if self._tree.v2 else self._details_v1(path, usage)
        except (OSError, ValueError):
            return None

    def _usage_v2(self, path: str, at: int, tick: int) -> Usage:
        folder = self._tree.folder("", path)
        cpu = parse_flat(_text(folder / "cpu.stat"))
        memory = parse_flat(_text(folder / "memory.stat"))
        used, limit = int(_text(folder / "memory.current")), _text(folder / "memory.max")
        return Usage(
            at=at,
            tick=tick,
            cpu=cpu.get("usage_usec", 0) * 1000,
            memory=used,
            working_set=max(0, used - memory.get("inactive_file", 0)),
            rss=memory.get("anon", 0),
            page_faults=memory.get("pgfault", 0),
            major_faults=memory.get("pgmajfault", 0),
            swap=_number(folder / "memory.swap.current"),
            limit=None if limit == "max" else int(limit),
            fields={**cpu, **memory},
            swap_limit=_swap_limit(folder / "memory.swap.max"),
        )

    def _usage_v1(self, path: str, at: int, tick: int) -> Usage:
        folder = self._tree.folder("memory", path)
        memory = parse_flat(_text(folder / "memory.stat"))
        used = int(_text(folder / "memory.usage_in_bytes"))
        limit = memory.get("hierarchical_memory_limit", _UNLIMITED)
        both = memory.get("hierarchical_memsw_limit", 0)
        return Usage(
            at=at,
            tick=tick,
            cpu=int(_text(self._tree.folder("cpuacct", path) / "cpuacct.usage")),
            memory=used,
            working_set=max(0, used - memory.get("total_inactive_file", 0)),
            rss=memory.get("total_rss", 0),
            page_faults=memory.get("total_pgfault", 0),
            major_faults=memory.get("total_pgmajfault", 0),
            swap=memory.get("total_swap", 0),
            limit=None if limit >= _UNLIMITED else limit,
            fields=memory,
            swap_limit=None if both >= _UNLIMITED else both,
        )

    def _details_v2(self, path: str, usage: Usage) -> Details:
        folder, fields = self._tree.folder("", path), usage.fields
        events = parse_flat(_text(folder / "memory.events"))
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        weight = int(_text(folder / "cpu.weight"))
        return Details(
            cpu_user=fields.get("user_usec", 0) * 1000,
            cpu_system=fields.get("system_usec", 0) * 1000,
            periods=fields.get("nr_periods", 0),
            throttled_periods=fields.get("nr_throttled", 0),
            throttled=fields.get("throttled_usec", 0) * 1000,
            cache=fields.get("file", 0),
            mapped=fields.get("file_mapped", 0),
            most=_number(folder / "memory.peak"),
            failures=events.get("max", 0),
            oom_kills=events.get("oom_kill", 0),
            kernel=fields.get("kernel", 0),
            processes=_lines(folder / "cgroup.procs"),
            threads=_number(folder / "pids.current"),
            threads_most=_number(folder / "pids.max"),
            # The inverse of the map that made the weight.
            shares=2 + ((weight - 1) * 262142) // 9999,
            quota=0 if quota == "max" else int(quota),
            period=int(period or 0),
            io=block_io.read_v2(folder),
        )

    def _details_v1(self, path: str, usage: Usage) -> Details:
        cpu, memory = self._tree.folder("cpu", path), self._tree.folder("memory", path)
        pids, fields = self._tree.folder("pids", path), usage.fields
        spent = parse_flat(_text(self._tree.folder("cpuacct", path) / "cpuacct.stat"))
        stat = parse_flat(_text(cpu / "cpu.stat"))
        return Details(
            cpu_user=spent.get("user", 0) * _TICK,
            cpu_system=spent.get("system", 0) * _TICK,
            periods=stat.get("nr_periods", 0),
            throttled_periods=stat.get("nr_throttled", 0),
            throttled=stat.get("throttled_time", 0),
            cache=fields.get("total_cache", 0),
            mapped=fields.get("total_mapped_file", 0),
            most=_number(memory / "memory.max_usage_in_bytes"),
            failures=_number(memory / "memory.failcnt"),
            oom_kills=parse_flat(_text(memory / "memory.oom_control")).get("oom_kill", 0),
            kernel=_number(memory / "memory.kmem.usage_in_bytes"),
            processes=_lines(memory / "cgroup.procs"),
            threads=_number(pids / "pids.current"),
            threads_most=_number(pids / "pids.max"),
            shares=_number(cpu / "cpu.shares"),
            quota=max(0, _number(cpu / "cpu.cfs_quota_us")),
            period=_number(cpu / "cpu.cfs_period_us"),
            io=block_io.read_v1(self._tree.folder("blkio", path)),
        )


def _text(file: Path) -> str:
    # Not Path.read_text: a decoder and a buffered reader cost more than the kernel's answer.
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65536).decode().rstrip("\n")
    finally:
        os.close(descriptor)


def _number(file: Path) -> int:
    """0 for what is not there, and for "max"."""
    try:
        return int(_text(file))
    except (OSError, ValueError):
        return 0


def _swap_limit(file: Path) -> int | None:
    """None for no limit, 0 where the kernel counts no swap."""
    try:
        text = _text(file)
    except OSError:
        return 0
    return None if text == "max" else int(text)


def _lines(file: Path) -> int:
    return len(_text(file).splitlines())
