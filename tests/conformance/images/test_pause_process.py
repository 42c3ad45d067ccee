"""pause is what a pod's first process must be: it collects orphans and ends on SIGTERM and SIGINT."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.images.archive import Archive
from provisioner.images.containers import OciImage
from provisioner.images.layers import unpack_chain


@pytest.fixture
def pause(pause_image: OciImage, tmp_path: Path) -> Path:
    """The program out of the built image."""
    with Archive(pause_image.archive) as archive:
        manifest = json.loads(archive.blob(pause_image.digest))
        (tmp_path / "layer.tar.gz").write_bytes(archive.blob(manifest["layers"][0]["digest"]))
    unpack_chain([tmp_path], tmp_path)
    return tmp_path / "pause"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after 20 s still not: {what}")
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def catches_signals(pid: int) -> bool:
    """Of pause itself: before the exec the child is still this interpreter, which catches signals too."""
    status = Path(f"/proc/{pid}/status").read_text()
    return status.startswith("Name:\tpause\n") and "SigCgt:\t0000000000000000" not in status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_at_once_when_told_to(pause: Path, number: signal.Signals) -> None:
    process = subprocess.Popen([pause])
    wait_until(lambda: catches_signals(process.pid), "pause runs and catches signals")
    process.send_signal(number)
    assert process.wait(10) == 0


def test_collects_orphans_as_process_1(pause: Path) -> None:
    # A shell becomes pause (exec keeps its children); the grandchildren's parents end, so that they fall to process 1.
    script = f'for n in 1 2 3; do (sleep 0.1 & ) ; done; sleep 0.3 & exec "{pause}"'
    holder = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script])
    try:
        wait_until(lambda: bool(children(holder.pid)), "process 1 started")
        first = children(holder.pid)[0]
        wait_until(lambda: Path(f"/proc/{first}/comm").read_text().strip() == "pause", "pause runs")
        wait_until(lambda: children(first) == [], "every orphan collected")
        assert Path(f"/proc/{first}/comm").read_text().strip() == "pause"
        os.kill(first, signal.SIGTERM)
        assert holder.wait(10) == 0
    finally:
        holder.kill()
        holder.wait(10)


def test_is_static_and_runs_without_any_file_beside_it(pause: Path) -> None:
    done = subprocess.run(["chroot", pause.parent, "/pause", "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pause.c 3.10"
