"""Flags as upstream's command line reads them: Go's flag package with aliases, joined short flags and per-command help.

This and what every command imports does without dataclasses, typing, re, json and pathlib: they are most of a start.

Reading ends at the first word that is no flag; what follows belongs to the command (`crictl exec ID ls -l`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# kind: bool, string, list, int, duration (Go's, or seconds).
_DEFAULTS: dict[str, Any] = {"bool": False, "string": "", "list": (), "int": 0, "duration": 0.0}
_HINTS = {"bool": "", "string": "value", "list": "value", "int": "value", "duration": "value"}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class UsageError(Exception):
    """The command line cannot be read; the text is Go's."""


class Flag:
    """One flag: its names, long one first; what it is for; environment: a variable that sets it as well."""

    def __init__(
        self, names: tuple[str, ...], kind: str, usage: str, default: Any = None, environment: str = ""
    ) -> None:
        self.names, self.kind, self.usage, self.environment = names, kind, usage, environment
        self.initial: Any = _DEFAULTS[kind] if default is None else default


class Command:
    """A subcommand. place: `module:function` in this package, imported when it is called."""

    def __init__(
        self,
        name: str,
        usage: str,
        place: str,
        arguments: str = "",
        flags: tuple[Flag, ...] = (),
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.name, self.usage, self.place, self.arguments = name, usage, place, arguments
        self.flags, self.aliases = flags, aliases


class Options:
    """What a command line says. `["name"]` is the flag's value; `given` are the flags that were set."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._values: dict[str, Any] = {flag.names[0]: flag.initial for flag in flags}
        self.given: set[str] = set()
        self.arguments: list[str] = []

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def default(self, name: str, value: Any) -> None:
        """What a flag that this command does not have counts as."""
        self._values.setdefault(name, value)

    def set(self, flag: Flag, value: Any) -> None:
        """The flag was given; a list's values add up."""
        name = flag.names[0]
        if flag.kind == "list":
            value = (*(self._values[name] if name in self.given else ()), *value.split(","))
        self._values[name] = value
        self.given.add(name)


def parse(flags: Sequence[Flag], words: Sequence[str], environment: dict[str, str] | None = None) -> Options:
    """Read flags up to the first other word. Raises UsageError."""
    help_flag = Flag(("help", "h"), "bool", "show help")
    known = {name: flag for flag in (*flags, help_flag) for name in flag.names}
    options = Options((*flags, help_flag))
    for flag in flags:
        text = (environment or {}).get(flag.environment) if flag.environment else None
        if text:
            options.set(flag, _read(flag, text))
    rest = list(words)
    while rest:
        word = rest[0]
        if word == "--":
            rest = rest[1:]
            break
        if not word.startswith("-") or word == "-":
            break
        rest = rest[1:]
        name, sign, text = word.removeprefix("-").removeprefix("-").partition("=")
        if not name:
            raise UsageError(f"bad flag syntax: {word}")
        if name not in known:
            rest = [*_separated(word, known), *rest]
            continue
        flag = known[name]
        if flag.kind == "bool":
            if sign and text.lower() not in ("true", "false", "t", "f", "1", "0"):
                raise UsageError(f'invalid boolean value "{text}" for -{name}: parse error')
            options.set(flag, not sign or text.lower() in ("true", "t", "1"))
            continue
        if not sign:
            if not rest:
                raise UsageError(f"flag needs an argument: -{name}")
            text, rest = rest[0], rest[1:]
        options.set(flag, _read(flag, text))
    options.arguments = rest
    return options


def _separated(word: str, known: dict[str, Flag]) -> list[str]:
    """`-aq` as `-a -q`. Raises UsageError when that is not what was meant."""
    letters = word.removeprefix("-")
    if letters.startswith("-") or not letters.isalpha() or any(letter not in known for letter in letters):
        raise UsageError(f"flag provided but not defined: -{letters.removeprefix('-').partition('=')[0]}")
    return [f"-{letter}" for letter in letters]


def _read(flag: Flag, text: str) -> Any:
    if flag.kind == "int":
        try:
            return int(text)
        except ValueError:
            raise UsageError(f'invalid value "{text}" for flag -{flag.names[0]}: parse error') from None
    if flag.kind == "duration":
        try:
            return duration(text)
        except ValueError:
            raise UsageError(f'invalid value "{text}" for flag -{flag.names[0]}: parse error') from None
    return text


def duration(text: str) -> float:
    """Seconds of a Go duration. Raises ValueError."""
    import re

    if text in ("0", "+0", "-0"):
        return 0.0
    if not re.fullmatch(r"[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+", text):
        raise ValueError(f'time: invalid duration "{text}"')
    found = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", text))
    return -found if text.startswith("-") else found


def command_help(command: Command) -> str:
    """What `crictl COMMAND --help` prints."""
    arguments = f" {command.arguments}" if command.arguments else ""
    options = " [command options]" if command.flags else ""
    sections = [f"NAME:\n   crictl {command.name} - {command.usage}"]
    sections.append(f"USAGE:\n   crictl {command.name}{options}{arguments}")
    sections.append("OPTIONS:\n" + _flag_lines((*command.flags, Flag(("help", "h"), "bool", "show help"))))
    return "\n\n".join(sections) + "\n"


def program_help(commands: Sequence[Command], flags: Sequence[Flag], version: str) -> str:
    """What `crictl --help` prints."""
    names = [", ".join((command.name, *command.aliases)) for command in commands]
    width = max(map(len, names))
    listed = "".join(f"   {name:<{width}}  {command.usage}\n" for name, command in zip(names, commands, strict=True))
    return (
        "NAME:\n   crictl - client for CRI\n\nUSAGE:\n   crictl [global options] command [command options]\n\n"
        f"VERSION:\n   {version}\n\nCOMMANDS:\n{listed}   help, h".ljust(0)
        + " " * max(1, width - 5)
        + " Shows a list of commands or help for one command\n\nGLOBAL OPTIONS:\n"
        + _flag_lines(
            (*flags, Flag(("help", "h"), "bool", "show help"), Flag(("version", "v"), "bool", "print the version"))
        )
    )


def _flag_lines(flags: Sequence[Flag]) -> str:
    lines = []
    for flag in sorted(flags, key=lambda flag: flag.names[0]):
        hint = _HINTS[flag.kind]
        names = ", ".join(f"{'--' if len(name) > 1 else '-'}{name}{f' {hint}' if hint else ''}" for name in flag.names)
        default = ""
        if flag.kind != "list" and flag.initial != "":
            shown = str(flag.initial).lower() if flag.kind == "bool" else flag.initial
            if flag.kind == "duration":
                shown = f"{flag.initial:g}s"
            default = f' (default: "{shown}")' if flag.kind == "string" else f" (default: {shown})"
        environment = f" [${flag.environment}]" if flag.environment else ""
        lines.append((names, flag.usage + ("" if flag.names[0] in ("help", "version") else default) + environment))
    width = max(len(names) for names, _ in lines)
    return "".join(f"   {names:<{width}}  {text}\n" for names, text in lines)
