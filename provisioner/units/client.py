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
from provisioner.units.unitfile import SEARCH, UnitError, unit_files

#: Where the machine sees the supervisor's folder.
FOLDER = Path("/run/kubelab")
_LETTERS = {"--unit": "u", "--lines": "n", "--follow": "f", "--reverse": "r"}
_VALUED = "nu"


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
    if verb == "cat":
        return _cat(units)
    if verb == "is-enabled":
        states = ["enabled" if (WANTS / _full(unit)).is_symlink() else "disabled" for unit in units]
        print("\n".join(states))
        return 0 if set(states) == {"enabled"} else 1
    code, text = ask(folder / SOCKET, verb, units)
    if text and "--quiet" not in arguments and "-q" not in arguments:
        print(text)
    return code


def journalctl(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """``-u UNIT [-n LINES] [-f] [-r]``, also in one word as ``-xeu UNIT``: the end of a unit's log, by tail(1)."""
    asked = _short_options(arguments)
    unit = asked.get("u", "")
    log = folder / "logs" / f"{_full(unit)}.log"
    if not unit or not log.exists():
        print(f"-- No entries of {unit or 'no unit (name one with -u)'} --")
        return 0
    sys.stdout.flush()
    lines = asked.get("n") or ("10" if "f" in asked else "1000")
    if "r" in asked:
        print("\n".join(reversed(log.read_text(errors="replace").splitlines()[-int(lines) :])))
        return 0
    return subprocess.run(["tail", "-n", lines, *(["-f"] if "f" in asked else []), str(log)], check=False).returncode


def _short_options(arguments: Sequence[str]) -> dict[str, str]:
    """Letter → value. Long options that have one are known by their letter; the others do nothing here."""
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in _LETTERS:
            letter = _LETTERS[name]
            found[letter] = value if equals or letter not in _VALUED else next(words, "")
        elif word.startswith("-") and not word.startswith("--"):
            for at, letter in enumerate(word[1:], 2):
                if letter in _VALUED:
                    found[letter] = word[at:] or next(words, "")
                    break
                found[letter] = ""
    return found


def _cat(units: Sequence[str]) -> int:
    """systemctl cat: a unit's files, each below its path."""
    try:
        files = [unit_files(unit) for unit in units]
    except UnitError as error:
        name = str(error).split()[1]
        print(f"No files found for {name}.", file=sys.stderr)
        return 1
    print("\n\n".join(f"# {path}\n{path.read_text().rstrip()}" for these in files for path in these))
    return 0


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
