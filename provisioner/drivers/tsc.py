"""The frequency of this host's time-stamp counter, which an emulated guest has to be told.

QEMU's emulation lets guests read the host's counter. A guest finds out its frequency while it boots, against emulated
timers; where the host is busy that has gone wrong by a factor of seven, and with it every timeout and all of its time.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import time
from collections.abc import Callable

_RDTSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")  # rdtsc; shl rdx, 32; or rax, rdx; ret
_SPAN = 0.1  # seconds between the two looks: 10 ppm, where the kernel's own refinement needs 1 %


def tsc_khz() -> int | None:
    """The counter's frequency in kHz; None where it cannot be read (not x86-64, or no memory may be executed)."""
    if platform.machine() != "x86_64":
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    page.write(_RDTSC)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    first_time, first = _look(read)
    time.sleep(_SPAN)
    last_time, last = _look(read)
    return round((last - first) * 1e6 / (last_time - first_time))


def kernel_argument() -> str:
    """What to add to an emulated guest's kernel command line; with a space in front, or empty."""
    khz = tsc_khz()
    return f" tsc_early_khz={khz}" if khz else ""


def _look(read: Callable[[], int]) -> tuple[int, int]:
    """(nanoseconds, counter) of the moment that the least came between."""
    looks = []
    for _ in range(20):
        before, count, after = time.monotonic_ns(), read(), time.monotonic_ns()
        looks.append((after - before, (before + after) // 2, count))
    _, moment, count = min(looks)
    return moment, count
