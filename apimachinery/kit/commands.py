"""Running a command of the machine."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_OUTPUT = 16 * 1024 * 1024  # bytes kept of each stream; what exceeds it is an error, not a silent cut


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended. `code` is negative for a signal."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")


class CommandError(Exception):
    """The command could not be run to its end, or ended badly."""


class CommandFailed(CommandError):
    """The command ended with a code other than 0; the message holds its last words."""

    def __init__(self, completed: Completed) -> None:
        self.completed = completed
        words = completed.stderr.decode(errors="replace").strip() or completed.text.strip()
        super().__init__(f"{shlex.join(completed.argv)}: exit code {completed.code}: {words[-2000:]}")


class CommandTimeout(CommandError):
    """The command did not end in time and was killed."""


class CommandNotFound(CommandError):
    """There is no such executable."""


async def run(
    *argv: str,
    input: bytes | Callable[[], bytes] | None = None,
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run `argv` without a shell and return what it printed.

    input: what it reads; a function is called once the process has been started, and works while that starts up.
    timeout: seconds, after which the process is killed and CommandTimeout raised.
    check: raise CommandFailed for an exit code other than 0.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if input is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env) if env is not None else None,
        )
    except FileNotFoundError as error:
        raise CommandNotFound(f"{argv[0]}: not found") from error
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await process.communicate(input() if callable(input) else input)
    except TimeoutError:
        raise CommandTimeout(f"{shlex.join(argv)}: no end after {timeout:g} s") from None
    finally:
        # Also when this task is cancelled: a command never outlives the one who ran it.
        if process.returncode is None:
            process.kill()
            await process.wait()
    if max(len(stdout), len(stderr)) > MAX_OUTPUT:
        raise CommandError(f"{shlex.join(argv)}: printed more than {MAX_OUTPUT} bytes")
    completed = Completed(argv, process.returncode or 0, stdout, stderr)
    if check and completed.code != 0:
        raise CommandFailed(completed)
    return completed
