"""Running a command of the machine.

Not by asyncio's subprocesses: on uvloop these fork, which copies the page tables of a daemon (25 ms for 60 MB), where
`subprocess` starts the program without (1 ms), and here it is the loop that waits for pipes and end all the same.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

MAX_OUTPUT = 16 * 1024 * 1024  # bytes kept of each stream; what exceeds it is an error, not a silent cut
_AT_ONCE = 256 * 1024  # bytes read from a pipe at a time
_PIPE = 1 << 20  # bytes that its input may be ahead of it: the kernel's limit for who is not root


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
    input: bytes | Iterable[bytes] | None = None,
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run `argv` without a shell and return what it printed.

    input: what it reads. Pieces are asked for one after the other once the process has been started, so that they are
    made while it works on those before; other tasks run in between. If making one fails, the process is killed before
    it could take what it has read for the whole.
    timeout: seconds, after which the process is killed and CommandTimeout raised.
    check: raise CommandFailed for an exit code other than 0.
    """
    try:
        process = _Process(argv, env, reads=input is not None)
    except FileNotFoundError as error:
        raise CommandNotFound(f"{argv[0]}: not found") from error
    try:
        async with asyncio.timeout(timeout):
            if input is not None:
                await process.feed((input,) if isinstance(input, bytes) else input)
            code = await process.ended()
    except TimeoutError:
        raise CommandTimeout(f"{shlex.join(argv)}: no end after {timeout:g} s") from None
    finally:
        # Also when this task is cancelled: a command never outlives the one who ran it.
        await process.close()
    completed = Completed(argv, code, bytes(process.stdout), bytes(process.stderr))
    if check and completed.code != 0:
        raise CommandFailed(completed)
    return completed


class _Process:
    """A process that was started, and its pipes. Raises FileNotFoundError when there is no such executable."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None, *, reads: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._argv = argv
        self._process = subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env) if env is not None else None,
        )
        self.stdout, self.stderr = bytearray(), bytearray()
        self._open: list[IO[bytes]] = []
        self._all_read: asyncio.Future[None] = self._loop.create_future()
        self._too_much = False
        for pipe, printed in ((self._process.stdout, self.stdout), (self._process.stderr, self.stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._open.append(pipe)
            self._loop.add_reader(pipe.fileno(), self._read, pipe, printed)

    async def feed(self, pieces: Iterable[bytes]) -> None:
        """Write the pieces and close its standard input. Who reads no more is told no more: its exit code says why."""
        pipe = self._process.stdin
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        with suppress(OSError):  # who may not have it (/proc/sys/fs/pipe-*) waits more often
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        for piece in pieces:
            if not await self._write(pipe.fileno(), memoryview(piece)):
                break
            await asyncio.sleep(0)
        pipe.close()

    async def ended(self) -> int:
        """Its exit code, when it has closed its output and ended. Raises CommandError for too much output."""
        await self._all_read
        await self._gone()
        if self._too_much:
            raise CommandError(f"{shlex.join(self._argv)}: printed more than {MAX_OUTPUT} bytes")
        return self._process.wait()

    async def close(self) -> None:
        """Kill it if it has not ended, and only then close its pipes: it must not take a part for the whole."""
        try:
            self._process.kill()
            await self._gone()
        finally:
            for pipe in [*self._open]:
                self._close(pipe)
            if self._process.stdin is not None:
                self._process.stdin.close()

    async def _write(self, descriptor: int, rest: memoryview) -> bool:
        """False when nobody reads."""
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                await _ready(descriptor, self._loop.add_writer, self._loop.remove_writer)
            except (BrokenPipeError, ConnectionResetError):
                return False
        return True

    def _read(self, pipe: IO[bytes], printed: bytearray) -> None:
        try:
            data = os.read(pipe.fileno(), _AT_ONCE)
        except BlockingIOError:
            return
        printed += data
        if len(printed) > MAX_OUTPUT:
            self._too_much = True
            self._process.kill()
        if not data or self._too_much:
            self._close(pipe)

    def _close(self, pipe: IO[bytes]) -> None:
        self._loop.remove_reader(pipe.fileno())
        pipe.close()
        self._open.remove(pipe)
        if not self._open and not self._all_read.done():
            self._all_read.set_result(None)

    async def _gone(self) -> None:
        """When it has ended. It is waited for by nobody else, so that its number is its own until then."""
        if self._process.poll() is not None:
            return
        descriptor = os.pidfd_open(self._process.pid)
        try:
            await _ready(descriptor, self._loop.add_reader, self._loop.remove_reader)
        finally:
            os.close(descriptor)
        self._process.wait()


async def _ready(
    descriptor: int, watch: Callable[[int, Callable[[], None]], object], leave: Callable[[int], object]
) -> None:
    """Until the loop finds it so."""
    found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watch(descriptor, lambda: None if found.done() else found.set_result(None))
    try:
        await found
    finally:
        leave(descriptor)
