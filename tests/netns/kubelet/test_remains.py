"""A run that was killed is ended by the next; one that goes on is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.netns.kubelet.agent import eventually
from tests.netns.kubelet.remains import sweep

PREFIX = "kbbtest-"


def test_only_what_nobody_owns_is_ended() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, alive = f"{PREFIX}a-{gone.pid}", f"{PREFIX}a-{os.getpid()}"
    sleepers = []
    try:
        for name in (dead, alive):
            subprocess.run(["ip", "netns", "add", name], check=True)
            beside = [sys.executable, "-c", "import time; time.sleep(600)", f"--data-dir=/tmp/{name}-x/control-plane"]
            sleepers.append(subprocess.Popen(beside))
            inside = ["nsenter", f"--net=/run/netns/{name}", "sleep", "600"]
            sleepers.append(subprocess.Popen(inside))
            entered = Path(f"/proc/{sleepers[-1].pid}/ns/net"), Path("/run/netns", name)
            eventually(lambda entered=entered: entered[0].stat().st_ino == entered[1].stat().st_ino, name)
        sweep(PREFIX)
        assert [each.wait(60) < 0 for each in sleepers[:2]] == [True, True] and not Path("/run/netns", dead).exists()
        assert [each.poll() for each in sleepers[2:]] == [None, None] and Path("/run/netns", alive).exists()
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
        for name in (dead, alive):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
