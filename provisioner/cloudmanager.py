"""The process of the cloud controller manager on this host: found by the file it was given, started, stopped.

No init system looks after it: it has to outlive every command and every terminal, and to end with its lab. It is known
by its command line, which names a file of the lab, so that it is found also when the lab's folder was deleted by hand.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from apimachinery.kit.files import write_atomic
from apimachinery.kit.started import started_at
from provisioner.errors import LabError
from provisioner.home import LabHome

NAME = "cloud-controller-manager"
#: Seconds.
_START, _STOP, _KILL = 60.0, 10.0, 10.0


def ensure_running(home: LabHome, source: Path, code: str) -> bool:
    """Start it, unless it runs with this code. True when it was started. Raises ``LabError`` when it ends at once.

    source: the folder that holds the packages. code: their digest.
    """
    if [_record(pid, code) for pid in find(home)] == [_read(home.cloud_process)]:
        return False
    stop(home)
    argv = [sys.executable, "-m", "controlplane.cloud", f"--cloud-config={home.cloud_config}",
            f"--kubeconfig={home.cloud_conf}", f"--debug-socket={home.cloud_socket}", "--secure-port=0"]  # fmt: skip
    with home.cloud_log.open("ab") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=source, start_new_session=True
        )
    # Having its own name, it has read its configuration.
    _wait(lambda: process.poll() is not None or _comm(process.pid) == NAME[:15], _START)
    if process.poll() is not None:
        last = home.cloud_log.read_text(errors="replace").splitlines()[-3:]
        raise LabError(f"{NAME}: it ended at once: {' / '.join(last)}", advice="kubelab logs host")
    write_atomic(home.cloud_process, json.dumps(_record(process.pid, code)))
    return True


def stop(home: LabHome) -> None:
    """End it; nothing happens when it does not run."""
    for pid in find(home):
        begun = started_at(pid)
        if begun is None:
            continue

        def gone(pid: int = pid, begun: str = begun) -> bool:
            return started_at(pid) != begun

        # It gives its lease back; an API server that is gone already must not keep it from ending.
        for number, patience in ((signal.SIGTERM, _STOP), (signal.SIGKILL, _KILL)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if _wait(gone, patience):
                break


def find(home: LabHome) -> list[int]:
    """The ids of the lab's managers: one, or none."""
    wanted = f" --cloud-config={home.cloud_config} "
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace") + " "
            ours = words.startswith(NAME) or " -m controlplane.cloud " in words
            if ours and wanted in words and started_at(int(folder.name)) is not None:
                found.append(int(folder.name))
    return sorted(found)


def _record(pid: int, code: str) -> dict[str, object]:
    return {"pid": pid, "started": started_at(pid), "code": code}


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
