"""Programs of a build end with it: when it is told to stop, and when its process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provisioner.images.errors import ImageError
from provisioner.images.tools import run_tool, stoppable

_MARK = "37.25"


def _sleepers() -> list[int]:
    """Processes of ``sleep 37.25``: nobody else sleeps so long."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes() == f"sleep\0{_MARK}\0".encode():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _until(count: int) -> None:
    deadline = time.monotonic() + 20
    while len(_sleepers()) != count:
        assert time.monotonic() < deadline, f"{len(_sleepers())} sleep, not {count}"
        time.sleep(0.02)


def test_a_program_gets_its_input_and_gives_its_output() -> None:
    data = os.urandom(300_000)
    assert run_tool("cat", input=data) == data
    assert run_tool("cat") == b""


def test_a_failure_and_a_missing_program_are_told() -> None:
    with pytest.raises(ImageError, match=r"sh failed \(exit code 3\)"):
        run_tool("sh", "-c", "echo why >&2; exit 3")
    with pytest.raises(ImageError, match="no-such-program: no such program"):
        run_tool("no-such-program")


def test_a_program_ends_when_the_build_is_stopped() -> None:
    begun = time.monotonic()
    with pytest.raises(ImageError, match="stopped"), stoppable(lambda: bool(_sleepers())):
        run_tool("sleep", _MARK)
    assert time.monotonic() - begun < 15
    assert _sleepers() == []


def test_a_program_ends_when_the_builder_is_killed() -> None:
    code = f"from provisioner.images.tools import run_tool; run_tool('sleep', '{_MARK}')"
    builder = subprocess.Popen([sys.executable, "-c", code])
    try:
        _until(1)
        builder.send_signal(signal.SIGKILL)
        builder.wait()
        _until(0)
    finally:
        builder.kill()
        for pid in _sleepers():
            os.kill(pid, signal.SIGKILL)
