"""Command lines as Kubernetes' components read them (spf13/pflag): what is a flag, its value, and what is wrong."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from apimachinery.kit.config import FlagError, boolean

_INTEGER, _NUMBER = re.compile(r"[+-]?[0-9]+"), re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

Kind = Callable[[str], Any]
"""Reads a flag's text. Raises ValueError with Go's words."""


def integer(text: str) -> int:
    """Read a Go flag's integer. Raises ValueError with Go's words."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def decimal(text: str) -> float:
    """Read a Go flag's number. Raises ValueError with Go's words."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return float(text)


def switch(text: str) -> str:
    """A boolean, as "true" or "false". Raises ValueError with Go's words."""
    return "true" if boolean(text) else "false"


class FlagParser(argparse.ArgumentParser):
    """The flags of a component. What `read` cannot read raises FlagError, told as upstream's components tell it.

    A flag whose `nargs` is "?" may stand alone and takes its value behind `=` only; `_` in a name means `-`. version:
    what --version prints. silent: the usage is not told with what is wrong, as kube-apiserver and the kubelet do.
    """

    def __init__(self, name: str, description: str, version: str, *, silent: bool = False) -> None:
        super().__init__(name, f"{name} [flags]", description, allow_abbrev=False)
        self._silent = silent
        self._deprecated: dict[str, str] = {}
        self._accepted: argparse._ArgumentGroup | None = None
        self.add_argument("--version", action="version", version=f"Kubernetes {version}", help="print it, and end")

    def accept(self, flags: Mapping[str, Kind]) -> None:
        """Upstream's flags that change nothing here: their values must fit, and that is all."""
        group = self._accepted = self._accepted or self.add_argument_group("accepted, without effect here")
        for name, kind in flags.items():
            alone: dict[str, Any] = {"nargs": "?", "const": True} if kind in (boolean, switch) else {}
            group.add_argument(
                f"--{name}", type=kind, action=_Accepted, default=argparse.SUPPRESS, metavar=_shown(kind), **alone
            )

    def deprecate(self, texts: Mapping[str, str]) -> None:
        """Whoever gives such a flag is warned, in pflag's sentence. texts: flag → what to do instead."""
        self._deprecated |= texts

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Raises FlagError; SystemExit for --help and --version."""
        return self.parse_args(list(self._words(argv)))

    def format_help(self) -> str:
        """As upstream's components begin it."""
        return super().format_help().replace("usage: ", "Usage:\n  ", 1)

    def error(self, message: str) -> NoReturn:
        """What is wrong with the command line."""
        raise FlagError(message, "" if self._silent else f"{self.format_help()}\n")

    def _words(self, argv: Sequence[str]) -> Iterator[str]:
        """`--name=value` of each flag. What is no flag is an error."""
        others, rest = list[str](), iter(argv)
        for word in rest:
            if word == "--":
                others += rest
            elif not word.startswith("-") or word == "-":
                others.append(word)
            elif word.startswith("--"):
                yield from self._long(word, rest)
            else:
                yield from self._short(word, rest)
        if any(others):
            told = " ".join(f'"{word}"' for word in others)
            raise FlagError(f'"{self.prog}" does not take any arguments, got [{told}]')

    def _long(self, word: str, rest: Iterator[str]) -> Iterator[str]:
        given, equals, text = word[2:].partition("=")
        if not given or given.startswith("-"):
            self.error(f"bad flag syntax: {word}")
        name = given.replace("_", "-")
        action = self._option_string_actions.get(f"--{name}")
        if action is None:
            self.error(f"unknown flag: --{given}")
        if name in self._deprecated:
            print(f"Flag --{name} has been deprecated, {self._deprecated[name]}", file=sys.stderr)
        if action.nargs == 0:  # --help, --version
            if not equals or text in ("true", "raw"):
                yield f"--{name}"
            return
        if not equals and action.nargs != "?":
            text = self._next(rest, f"--{name}")
            equals = "="
        if equals:
            yield self._fitting(name, action, text)
        else:
            yield f"--{name}"

    def _short(self, word: str, rest: Iterator[str]) -> Iterator[str]:
        action = self._option_string_actions.get(word[:2])
        if action is None:
            self.error(f"unknown shorthand flag: '{word[1]}' in {word}")
        if action.nargs == 0:
            yield word[:2]
            return
        text = word[2:].removeprefix("=") if word[2:] else self._next(rest, f"'{word[1]}' in {word}")
        name = next(option for option in action.option_strings if option.startswith("--"))
        yield self._fitting(name[2:], action, text)

    def _next(self, rest: Iterator[str], where: str) -> str:
        text = next(rest, None)
        if text is None:
            self.error(f"flag needs an argument: {where}")
        return text

    def _fitting(self, name: str, action: argparse.Action, text: str) -> str:
        """The flag with its value, which its type takes."""
        kind = integer if action.type is int else decimal if action.type is float else action.type
        try:
            if callable(kind):
                kind(text)
        except ValueError as error:
            short = next((f"{option}, " for option in action.option_strings if len(option) == 2), "")
            self.error(f'invalid argument "{text}" for "{short}--{name}" flag: {error}')
        return f"--{name}={text}"


class Joined(argparse.Action):
    """Of a list that may be given more than once: all that is said, joined by commas."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._said: list[str] = []

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: object = None) -> None:
        """Once for each."""
        self._said.append(str(values))
        setattr(namespace, self.dest, ",".join(filter(None, self._said)))


class _Accepted(argparse.Action):
    def __call__(self, *args: Any, **options: Any) -> None:
        """Nothing is kept."""


def _shown(kind: Kind) -> str:
    return {str: "TEXT", boolean: "true", integer: "NUMBER", decimal: "NUMBER"}.get(kind, kind.__name__.upper())
