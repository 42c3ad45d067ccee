"""Kernel settings of the network namespace that the calling thread is in."""

from __future__ import annotations

import os


def ensure(name: str, value: str) -> None:
    """Set `net/ipv4/ip_forward` and the like, unless it is so. Raises OSError where that cannot be had."""
    path = f"/proc/sys/{name}"
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.read(handle, 64).strip() != value.encode():
            os.pwrite(handle, value.encode(), 0)
    finally:
        os.close(handle)


def ensure_if_present(name: str, value: str) -> None:
    """The same for a setting that a kernel may lack (a module not loaded, IPv6 switched off)."""
    try:
        ensure(name, value)
    except OSError:
        return
