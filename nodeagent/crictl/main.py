"""`crictl`: understand the command line, run one command, say what went wrong as upstream does."""

from __future__ import annotations

import os
import sys

from . import complaints
from .commands import COMMANDS, GLOBAL_FLAGS, find
from .options import Command, Options, UsageError, command_help, parse, program_help
from .rpc import CallFailed
from .session import Session
from .settings import Settings, read_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "v1.32.0"


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        return _run(argv)
    except UsageError as error:
        print(f"Incorrect Usage: {error}\n")
        print(program_help(COMMANDS, GLOBAL_FLAGS, VERSION), end="")
        complaints.say("fatal", str(error))
    except complaints.Exit as error:
        if str(error):
            print(error, file=sys.stderr)
        return error.code
    except (complaints.Failed, CallFailed) as error:
        complaints.say("fatal", str(error))
    except BrokenPipeError:
        # Whoever read our output has enough; nothing more may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    return 1


def _run(argv: Sequence[str]) -> int:
    if list(argv[:1]) in (["--version"], ["-version"], ["-v"]):
        print(f"crictl version {VERSION}")
        return 0
    options = parse(GLOBAL_FLAGS, argv, dict(os.environ))
    words = options.arguments
    if not words or options["help"] or words[0] in ("help", "h"):
        return _help(words[1:] if words else [])
    command = find(words[0])
    if command is None:
        print(f"No help topic for '{words[0]}'", file=sys.stderr)
        return 3
    try:
        own = parse(command.flags, words[1:], dict(os.environ))
    except UsageError as error:
        print(f"Incorrect Usage: {error}\n\n{command_help(command)}")
        raise complaints.Failed(str(error)) from None

    def show_help() -> int:
        print(command_help(command), end="")
        return 0

    if own["help"]:
        return show_help()
    settings, timeout = _settings(options)
    complaints.debugging = settings.debug
    module, _, function = command.place.partition(":")
    session = Session(settings, timeout, options["config"], show_help)
    # A runtime that is not there is told as such, before anything about the command.
    if module == "images":
        _ = session.images
    elif module != "settings":
        _ = session.runtime
    __import__(f"nodeagent.crictl.{module}")
    code: int = getattr(sys.modules[f"nodeagent.crictl.{module}"], function)(own, session)
    sys.stdout.flush()
    return code


def _help(words: Sequence[str]) -> int:
    command: Command | None = find(words[0]) if words else None
    print(command_help(command) if command else program_help(COMMANDS, GLOBAL_FLAGS, VERSION), end="")
    return 0


def _settings(options: Options) -> tuple[Settings, float]:
    """The settings in force, and the timeout in seconds. Raises Failed when a file that was asked for is not there."""
    path = options["config"]
    try:
        settings = read_settings(path)
    except (OSError, complaints.Failed) as error:
        # `crictl config` makes the file that is missing.
        if "config" in options.given and isinstance(error, OSError) and options.arguments[0] != "config":
            raise complaints.Failed(f"open {path}: {(error.strerror or '').lower()}") from None
        if isinstance(error, complaints.Failed):
            raise
        settings = Settings()
    for flag, name in (("runtime-endpoint", "runtime_endpoint"), ("image-endpoint", "image_endpoint")):
        if flag in options.given:
            setattr(settings, name, options[flag])
    settings.debug = options["debug"] if "debug" in options.given else settings.debug
    if "timeout" in options.given:
        return settings, options["timeout"] if options["timeout"] > 0 else 2.0
    return settings, float(settings.timeout) if settings.timeout > 0 else 2.0
