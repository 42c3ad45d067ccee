"""systemd's unit files, as far as a lab's services go (systemd.unit(5), systemd.service(5)). Pure but for reading."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SEARCH = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


class UnitError(Exception):
    """There is no such unit, or it cannot be understood. ``str(e)`` is for a person."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is needed to run a service. restart_sec: seconds. group_kill: stop its children too (KillMode)."""

    name: str
    description: str
    pre: tuple[tuple[str, ...], ...]
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    restart: str
    restart_sec: float
    group_kill: bool


def load_service(name: str, search: Sequence[Path] = SEARCH) -> Service:
    """The service called ``name`` (with or without ``.service``), with its drop-ins."""
    files = unit_files(name, search)
    full, texts = files[0].name, [path.read_text() for path in files]
    settings: dict[str, list[str]] = {}
    for text in texts:
        read_settings(text, settings)
    environment: dict[str, str] = {}
    for line in settings.get("Environment", []):
        for word in shlex.split(line):
            key, _, value = word.partition("=")
            environment[key] = value
    for line in settings.get("EnvironmentFile", []):
        path = Path(line.removeprefix("-"))
        if path.is_file():
            environment |= read_environment(path.read_text())
        elif not line.startswith("-"):
            raise UnitError(f"{full}: EnvironmentFile {path} does not exist")
    commands = settings.get("ExecStart", [])
    if len(commands) != 1:
        raise UnitError(f"{full}: has {len(commands)} ExecStart= settings, not one")
    return Service(
        name=full,
        description=_last(settings, "Description", full),
        pre=tuple(
            tuple(expand(line.removeprefix("-"), environment))
            for line in settings.get("ExecStartPre", [])
            # Loading modules is the host's business.
            if "modprobe" not in line
        ),
        argv=tuple(expand(commands[0], environment)),
        environment=environment,
        restart=_last(settings, "Restart", "no"),
        restart_sec=float(_last(settings, "RestartSec", "0.1").removesuffix("s")),
        group_kill=_last(settings, "KillMode", "control-group") == "control-group",
    )


def unit_files(name: str, search: Sequence[Path] = SEARCH) -> list[Path]:
    """The file of a unit (a service, when the name does not say), then its drop-ins. Raises ``UnitError``."""
    full = name if "." in name else f"{name}.service"
    paths = [folder / full for folder in search if (folder / full).is_file()]
    if not paths:
        raise UnitError(f"Unit {full} could not be found.")
    dropped = [path for folder in reversed(search) for path in sorted((folder / f"{full}.d").glob("*.conf"))]
    return [paths[0], *dropped]


def read_settings(text: str, settings: dict[str, list[str]]) -> None:
    """Add a file's settings to those read before; an empty value forgets them, as systemd has it."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for raw in joined.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;[":
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise UnitError(f"{line!r} is not a setting")
        if value.strip():
            settings.setdefault(key.strip(), []).append(value.strip())
        else:
            settings[key.strip()] = []


def read_environment(text: str) -> dict[str, str]:
    """An environment file: ``NAME=value`` lines, the value quoted or not."""
    found = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            key, _, value = stripped.partition("=")
            found[key] = " ".join(shlex.split(value))
    return found


def expand(line: str, environment: Mapping[str, str]) -> list[str]:
    """A command line's words. ``$NAME`` alone becomes as many words as its value has; ``${NAME}`` is put in place."""
    words: list[str] = []
    for word in shlex.split(line):
        if re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", word):
            words += shlex.split(environment.get(word[1:], ""))
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda match: environment.get(match[1], ""), word))
    return words


def _last(settings: Mapping[str, list[str]], key: str, default: str) -> str:
    values = settings.get(key)
    return values[-1] if values else default
