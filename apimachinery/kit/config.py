"""Configuration problems, all at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class ConfigError(Exception):
    """The configuration is wrong. `problems` holds every one that could be known, as "where: what"."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class FlagError(ConfigError):
    """A command line that cannot be read: the first thing that is wrong, in pflag's words. usage: told before it."""

    def __init__(self, problem: str, usage: str = "") -> None:
        super().__init__([problem])
        self.usage = usage


class Problems:
    """Collects what is wrong with a configuration, so that it is told in one message."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, where: str, what: str) -> None:
        self.tell(f"{where}: {what}")

    def tell(self, problem: str) -> None:
        """What says itself where it is."""
        self._found.append(problem)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._found)

    def raise_if_any(self) -> None:
        """Raises ConfigError when something was added."""
        if self._found:
            raise ConfigError(list(self._found))


def boolean(text: str) -> bool:
    """Read a Go flag's boolean. Raises ValueError with Go's words."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


@contextmanager
def or_exit(component: str, code: int = 1) -> Iterator[None]:
    """Where a ConfigError is raised inside: print its problems, as before there is a log, and end with `code`."""
    try:
        yield
    except FlagError as error:
        print(f"{error.usage}Error: {error}", file=sys.stderr)
        raise SystemExit(code) from None
    except ConfigError as error:
        for problem in error.problems:
            print(f"{component}: {problem}", file=sys.stderr)
        raise SystemExit(code) from None
