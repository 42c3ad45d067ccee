"""Running a daemon, and ending tasks one owns."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from apimachinery.kit import logs
from apimachinery.kit.config import ConfigError, FlagError
from apimachinery.kit.event_loop import Loop
from apimachinery.kit.tls_files import TLSFileError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Fatal(Exception):
    """An end that is no defect, such as a lost leadership: logged as one line, without a traceback."""


class CommandFailed(Fatal):
    """One that is logged as the command lines of Kubernetes log it (component-base/cli)."""


#: What a person mends on the host: a port that is taken, an address or a folder that is not there, rights, a full disk.
_OF_THE_HOST = frozenset(
    (
        errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EROFS,
        errno.ENOSPC, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR,
    )
)  # fmt: skip


def run_daemon(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main` on uvloop until it returns; SIGTERM and SIGINT set the event it was given.

    Returns the process's exit code: 0 when `main` returned, 1 when it raised (logged with its traceback: a daemon that
    dies of an exception has a defect, and the log is the only witness; but not when the host lacks something, as a free
    port or a folder). A second signal ends the process at once.
    """

    async def body() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_on_loop_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _on_signal, number, stop)
        try:
            await main(stop)
        except CommandFailed as error:
            tell_failure(str(error))
            return 1
        except Fatal as error:
            log.critical("%s", error)
            return 1
        except Exception as error:
            if isinstance(error, TLSFileError) or (isinstance(error, OSError) and error.errno in _OF_THE_HOST):
                log.critical("%s", error)
            else:
                log.exception("the daemon failed")
            return 1
        return 0

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(body())


def tell_failure(why: str) -> None:
    """The line that people look for in the journal of a component which does not start."""
    log.error('"command failed" err=%s', json.dumps(why, ensure_ascii=False))


@contextmanager
def problems_logged() -> Iterator[None]:
    """Where a ConfigError is raised inside, log what is wrong and end; but for flags, which are not read yet when there
    is no log."""
    try:
        yield
    except FlagError:
        raise
    except ConfigError as error:
        logs.setup()
        for problem in error.problems:
            if problem.startswith("warning: "):
                log.warning("%s", problem.removeprefix("warning: "))
            else:
                tell_failure(problem)
        raise SystemExit(1) from None


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no task could be told of; but not that bytes came for a TLS connection just closed, which uvloop calls a
    fatal error."""
    error = context.get("exception")
    if isinstance(error, RuntimeError) and str(error).endswith("the handler is closed"):
        log.debug("%s: %s", context.get("message"), error)
        return
    loop.default_exception_handler(context)


def _on_signal(number: int, stop: asyncio.Event) -> None:
    if stop.is_set():
        raise SystemExit(128 + number)
    log.info("received %s, stopping", signal.Signals(number).name)
    stop.set()


async def cancel_and_wait(*tasks: asyncio.Task[object]) -> None:
    """Cancel the tasks and return when all have ended. What they raised on the way is logged, not raised; but not what
    is being raised while they are cancelled, which is told where it arrives."""
    raised = sys.exception()
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and result is not raised:
            log.warning("a task ended badly while being cancelled: %r", result)


async def to_its_end(call: Coroutine[Any, Any, T], patience: float) -> T:
    """Wait for what is not to be broken off half done. Who is cancelled meanwhile is so when the call has ended, which
    is waited for at most `patience` seconds; then it is broken off."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=patience)
        await cancel_and_wait(task)
        raise


async def run_until(stop: asyncio.Event, parts: Iterable[Awaitable[None]]) -> None:
    """Run the parts of a daemon side by side until `stop` is set, or one of them fails, which is raised. None is left
    running."""
    tasks: list[asyncio.Task[object]] = [asyncio.ensure_future(part) for part in parts]
    try:
        await wait_first(stop, *tasks)
    finally:
        await cancel_and_wait(*tasks)


async def wait_first(stop: asyncio.Event, *tasks: asyncio.Task[object]) -> None:
    """Return when `stop` is set; raise what a task raised if one fails first. A task that returns is no failure."""
    waiter = asyncio.ensure_future(stop.wait())
    pending: set[asyncio.Future[object]] = {waiter, *tasks}  # type: ignore[arg-type]
    try:
        while not stop.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for future in done - {waiter}:
                future.result()
            if pending <= {waiter}:
                break
    finally:
        waiter.cancel()
