"""Reading a container's log file for `kubectl logs`: tail, since, limits, timestamps, following over rotation."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError, RuntimeUnreachable
from nodeagent.cri.logfile import in_utc, missing, nine_digits, rotated
from nodeagent.kubelet.runtime.logformat import parse_line

_BLOCK = 64 * 1024
_POLL = 0.1
# Following a quiet container, the runtime is asked this often whether it has ended, in polls.
_ASK_EVERY = 10


class BadOption(ValueError):
    """A log option that cannot be; the text goes into the 400."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions as the query has them. since: entries from then on. limit: bytes, None for all."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: datetime | None = None
    limit: int | None = None
    stream: str = "All"


def parse_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """Read the query of /containerLogs. Raises BadOption."""

    def number(name: str, least: int) -> int | None:
        text = query.get(name)
        if not text:
            return None
        try:
            found = int(text)
        except ValueError:
            raise BadOption(f"{name}: Invalid value: {text!r}") from None
        if found < least:
            raise BadOption(f"{name}: Invalid value: {found}: must be greater than or equal to {least}")
        return found

    def flag(name: str) -> bool:
        return query.get(name, "").lower() in ("true", "1")

    since = None
    seconds = number("sinceSeconds", 1)
    if seconds is not None and query.get("sinceTime"):
        raise BadOption("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if seconds is not None:
        since = now - timedelta(seconds=seconds)
    elif query.get("sinceTime"):
        try:
            since = times.parse(query["sinceTime"])
        except ValueError as error:
            raise BadOption(f"sinceTime: {error}") from None
    return LogOptions(
        follow=flag("follow"),
        previous=flag("previous"),
        timestamps=flag("timestamps"),
        tail=number("tailLines", 0),
        since=since,
        limit=number("limitBytes", 1),
        stream=query.get("stream") or "All",
    )


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines of the file begin."""
    at = file.seek(0, os.SEEK_END)
    if lines == 0:
        return at
    left = lines
    first = True
    while at > 0:
        start = max(0, at - _BLOCK)
        file.seek(start)
        block = file.read(at - start)
        end = len(block)
        if first and block.endswith(b"\n"):
            end -= 1
        first = False
        while (found := block.rfind(b"\n", 0, end)) >= 0:
            left -= 1
            if left == 0:
                return start + found + 1
            end = found
        at = start
    return 0


class _Filter:
    """Turns lines of the file into what the client is sent."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._since = options.since.strftime("%Y-%m-%dT%H:%M:%S.%f").encode() if options.since else b""
        self.left = options.limit
        self._begins = True

    def apply(self, line: bytes) -> bytes:
        entry = parse_line(line)
        if entry is None:
            return b""
        # A long line is several entries: it has one time, where it begins.
        begins, self._begins = self._begins, not entry.text or entry.text.endswith(b"\n")
        if self._since and in_utc(entry.time) < self._since:
            return b""
        if self._options.stream != "All" and entry.stream.decode() != self._options.stream.lower():
            return b""
        text = nine_digits(entry.time) + b" " + entry.text if self._options.timestamps and begins else entry.text
        if self.left is not None:
            text = text[: self.left]
            self.left -= len(text)
        return text

    @property
    def full(self) -> bool:
        return self.left is not None and self.left <= 0


async def read_log(
    path: Path, options: LogOptions, running: Callable[[], Awaitable[bool]], clock: Clock
) -> AsyncIterator[bytes]:
    """Yield the log as the options ask, in pieces. running: whether the container still does; ends a `follow`.

    Raises OSError when there is no such file.
    """
    chosen = _Filter(options)
    # Who asks for so many of the last lines gets no more, however quickly others follow.
    left = None if options.follow else options.tail
    file = path.open("rb")
    try:
        file.seek(tail_offset(file, options.tail) if options.tail is not None else 0)
        rest, idle, ended = b"", 0, False
        while True:
            block = file.read(_BLOCK)
            if block:
                idle = 0
                *lines, rest = (rest + block).split(b"\n")
                if left is not None:
                    lines = lines[:left]
                    left -= len(lines)
                piece = b"".join(chosen.apply(line + b"\n") for line in lines)
                if piece:
                    yield piece
                if chosen.full or left == 0:
                    return
                continue
            if not options.follow or ended:
                # Nobody waits for the end of a line that was never finished, as of a node that lost its power.
                if rest and not options.follow:
                    yield chosen.apply(rest)
                return
            if rotated(file, path):
                file.close()
                file = path.open("rb")
                continue
            idle += 1
            if idle % _ASK_EVERY == 0:
                # What was written before the end is read once more.
                ended = not await running()
                continue
            await clock.sleep(_POLL)
    finally:
        file.close()


async def runs(runtime: RuntimeService, container_id: str) -> bool:
    """Whether a log may still grow. While the runtime is being restarted its containers go on."""
    try:
        return bool((await runtime.container_status(container_id)).state == cri.CONTAINER_RUNNING)
    except RuntimeUnreachable:
        return True
    except RuntimeCallError:
        return False


async def send_log(
    request: web.Request, runtime: RuntimeService, container_id: str, options: LogOptions, clock: Clock
) -> web.StreamResponse:
    """Answer with the log of a container. As upstream, what goes wrong from here on is the answer's text."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        path = Path((await runtime.container_status(container_id)).log_path)
    except RuntimeCallError:
        await response.write(f"unable to retrieve container logs for containerd://{container_id}".encode())
        return response
    try:
        async for piece in read_log(path, options, lambda: runs(runtime, container_id), clock):
            await response.write(piece)
    except FileNotFoundError:
        await response.write(missing(path).encode())
    except OSError as error:
        why = (error.strerror or "").lower()
        await response.write(f'failed to open log file "{path}": open {path}: {why}'.encode())
    return response
