"""``systemctl`` and ``journalctl`` on a netns machine: the words people type, asked of the supervisor."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from provisioner.units.supervisor import SOCKET, WANTS
from provisioner.units.unitfile import SEARCH

#: Where the machine sees the supervisor's folder.
FOLDER = Path("/run/kubelab")


def systemctl(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """The exit code, as systemctl(1) has it."""
    words = [word for word in arguments if not word.startswith("-")]
    now = "--now" in arguments
    verb, units = (words[0], words[1:]) if words else ("list-units", [])
    if verb in ("enable", "disable"):
        for unit in units:
            _enable(unit, on=verb == "enable")
        if not now:
            return 0
        verb = "start" if verb == "enable" else "stop"
    if verb == "is-enabled":
        states = ["enabled" if (WANTS / _full(unit)).is_symlink() else "disabled" for unit in units]
        print("\n".join(states))
        return 0 if set(states) == {"enabled"} else 1
    code, text = ask(folder / SOCKET, verb, units)
    if text and "--quiet" not in arguments and "-q" not in arguments:
        print(text)
    return code


def journalctl(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """``-u UNIT [-n LINES] [-f]``: the end of a unit's log, by tail(1)."""
    unit, lines = "", "1000"
    words = iter(arguments)
    for word in words:
        if word in ("-u", "--unit"):
            unit = next(words, "")
        elif word == "-n":
            lines = next(words, lines)
    log = folder / "logs" / f"{_full(unit)}.log"
    if not unit or not log.exists():
        print(f"-- no entries of {unit or 'no unit (name one with -u)'} --")
        return 0
    sys.stdout.flush()
    return subprocess.run(
        ["tail", "-n", lines, *(["-f"] if "-f" in arguments else []), str(log)], check=False
    ).returncode


def ask(path: Path, verb: str, units: Sequence[str], timeout: float = 120.0) -> tuple[int, str]:
    """One request to a supervisor. Raises ``OSError`` when nothing answers at ``path``."""
    # A unix socket's name holds 108 bytes, and a lab's folder may be deep: go there instead of naming it.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        handle = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{handle}/{path.name}")
        finally:
            os.close(handle)
        connection.sendall(json.dumps({"verb": verb, "units": list(units)}).encode() + b"\n")
        answer = json.loads(connection.makefile().readline())
    return int(answer["code"]), str(answer["text"])


def _enable(unit: str, *, on: bool) -> None:
    link = WANTS / _full(unit)
    link.unlink(missing_ok=True)
    if on:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(next((folder / link.name for folder in SEARCH if (folder / link.name).exists()), SEARCH[0]))


def _full(unit: str) -> str:
    return unit if "." in unit else f"{unit}.service"


if __name__ == "__main__":
    program, *rest = sys.argv[1:]
    sys.exit(systemctl(rest) if program == "systemctl" else journalctl(rest))
