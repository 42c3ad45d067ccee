"""Limits as writes to cgroup files, for v1 and v2. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.kubelet import qos
from nodeagent.kubelet.qos import Limits

_PERIOD = 100_000  # µs
_UNLIMITED = 1 << 62
_UNITS = ("B", "KB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Setting:
    """One write to a cgroup file. controller: the v1 hierarchy, "" on v2."""

    controller: str
    file: str
    value: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What a cgroup holds: shares (v1) or weight (v2), µs of cpu per 100 ms and bytes of memory, 0 for no limit."""

    cpu_weight: int
    cpu_quota: int
    memory: int


def read_applied(read: Callable[[str, str], str], *, v2: bool) -> Applied:
    """read(controller, file): of the cgroup. Raises what it raises, ValueError."""
    if v2:
        quota, period = read("", "cpu.max").split()
        weight, memory = read("", "cpu.weight"), read("", "memory.max").strip()
        limit = 0 if memory == "max" else int(memory)
        return Applied(int(weight), 0 if quota == "max" else int(quota) * _PERIOD // int(period), limit)
    micros, length = int(read("cpu", "cpu.cfs_quota_us")), int(read("cpu", "cpu.cfs_period_us"))
    limit = int(read("memory", "memory.limit_in_bytes"))
    # No limit is the largest number of pages that there could be.
    return Applied(
        int(read("cpu", "cpu.shares")), max(0, micros * _PERIOD // length), 0 if limit >= _UNLIMITED else limit
    )


def plan_settings(limits: Limits, *, v2: bool, pids: int = -1) -> list[Setting]:
    """The files to write for these limits, all of them: what is not limited is set free.

    pids: most processes, -1 for no limit.
    """
    most = str(pids) if pids > 0 else "max"
    if v2:
        quota = str(limits.cpu_quota) if limits.cpu_quota else "max"
        return [
            Setting("", "cpu.weight", str(qos.cpu_weight(limits.cpu_shares))),
            Setting("", "cpu.max", f"{quota} {limits.cpu_period}"),
            Setting("", "memory.max", str(limits.memory) if limits.memory else "max"),
            Setting("", "pids.max", most),
        ]
    return [
        Setting("cpu", "cpu.shares", str(limits.cpu_shares)),
        Setting("cpu", "cpu.cfs_period_us", str(limits.cpu_period)),
        Setting("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota or -1)),
        Setting("memory", "memory.limit_in_bytes", str(limits.memory or -1)),
        Setting("pids", "pids.max", most),
    ]


def plan_shares(shares: int, *, v2: bool) -> list[Setting]:
    """Only the weight: a QoS class has no limits of its own."""
    return plan_settings(Limits(shares), v2=v2)[:1]


def plan_hugepages(limits: Mapping[int, int], sizes: Sequence[int], *, v2: bool) -> list[Setting]:
    """A limit for every page size that the machine has: a size that is not asked for may not be used at all.

    limits: bytes by page size. sizes: bytes.
    """
    file = "hugetlb.{}.max" if v2 else "hugetlb.{}.limit_in_bytes"
    controller = "" if v2 else "hugetlb"
    return [Setting(controller, file.format(page_size_text(size)), str(limits.get(size, 0))) for size in sizes]


def page_size_text(size: int) -> str:
    """As the kernel names it in hugetlb's files: 2097152 is 2MB."""
    index = 0
    while size >= 1024 and size % 1024 == 0 and index < len(_UNITS) - 1:
        size, index = size // 1024, index + 1
    return f"{size}{_UNITS[index]}"
