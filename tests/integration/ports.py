"""Ports of loopback that stay free until their server binds them, however long that takes and whoever else runs tests,
and a number for what else only one process may have.

A port that the kernel names (bind to 0) may be given to somebody else before a server that is told of it has started,
which on a busy machine is seconds later. These lie below the kernel's range, and each process has a block of its own.
"""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST, SIZE, BLOCKS = 18_000, 240, 50  # up to 29,999: node ports begin at 30,000, the kernel's at 32,768


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that no other test process is given while this one runs."""
    for port in itertools.islice(_ports(), SIZE):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"all {SIZE} ports of this process's block are taken")


@functools.cache
def _ports() -> Iterator[int]:
    first = FIRST + own_number() * SIZE
    return itertools.cycle(range(first, first + SIZE))


@functools.cache
def own_number() -> int:
    """The first number from 0 to 49 that no other test process on this machine holds. Held until this one ends."""
    folder = Path(tempfile.gettempdir()) / "kubelab-test-ports"
    folder.mkdir(exist_ok=True)
    for number in range(BLOCKS):
        held = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        return number
    raise OSError(f"{BLOCKS} processes run tests")
