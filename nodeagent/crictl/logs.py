"""`crictl logs`: the container's own log file, read as the kubelet's log reader reads it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nodeagent.cri.logfile import in_utc, missing, nine_digits, rotated

from .complaints import Failed, say
from .options import duration
from .rpc import CallFailed

if TYPE_CHECKING:
    from .options import Options
    from .session import Session

_POLL = 0.1
# A container that writes nothing is asked about this often, in polls.
_ASK_EVERY = 10


def logs(options: Options, session: Session) -> int:
    """`crictl logs`."""
    if not options.arguments:
        raise Failed("ID cannot be empty")
    if len(options.arguments) > 1:
        return session.help()
    container = options.arguments[0]
    since = _since(options["since"], time.time())
    if options["reopen"]:
        try:
            session.runtime.call("ReopenContainerLog", {"container_id": container})
        except CallFailed as error:
            raise Failed(f"reopen container logs: {error}") from None
        say("info", "Container logs reopened")
    status = session.runtime.call("ContainerStatus", {"container_id": container})["status"]
    path = status["log_path"]
    if not path:
        raise Failed("the container has not set log path")
    if options["previous"]:
        attempt, name = status["metadata"]["attempt"], status["metadata"]["name"]
        if attempt == 0:
            raise Failed(f"previous terminated container {name} not found")
        path = f"{path[: path.rfind('/') + 1]}{attempt - 1}{path[path.rfind('.') :]}"

    def running() -> bool:
        found = session.runtime.call("ContainerStatus", {"container_id": status["id"]})["status"]["state"]
        return bool(found == "CONTAINER_RUNNING")

    try:
        _read(Path(path), options, since, running)
    except FileNotFoundError:
        raise Failed(missing(Path(path))) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Failed(f'failed to open log file "{path}": open {path}: {(error.strerror or "").lower()}') from None
    return 0


def _since(text: str, now: float) -> str:
    """A moment as log lines have it, from RFC 3339, seconds since 1970 or a duration. Raises Failed."""
    if not text:
        return ""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        moment = datetime.fromtimestamp(float(text), UTC)
    else:
        try:
            moment = datetime.fromtimestamp(now, UTC) - timedelta(seconds=duration(text))
        except ValueError:
            try:
                moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
            except ValueError:
                raise Failed(f'failed to parse value as time or duration: "{text}"') from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


class _Writer:
    """Writes what the options let through; the runtime's lines carry a time, a stream and a tag."""

    def __init__(self, options: Options, since: str) -> None:
        self._timestamps, self._since = options["timestamps"], since.encode()
        self.left = options["limit-bytes"] if options["limit-bytes"] >= 0 else None
        self._begins = True

    def write(self, line: bytes) -> None:
        parts = line.split(b" ", 3)
        if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr"):
            return
        moment, stream, tag, text = parts
        # A partial line goes on in the next one, which shows no time then.
        if tag.split(b":")[0] == b"P":
            text = text.removesuffix(b"\n")
        begins, self._begins = self._begins, not text or text.endswith(b"\n")
        if in_utc(moment) < self._since:
            return
        if self._timestamps and begins:
            text = nine_digits(moment) + b" " + text
        if self.left is not None:
            text = text[: self.left]
            self.left -= len(text)
        out = sys.stdout.buffer if stream == b"stdout" else sys.stderr.buffer
        out.write(text)
        out.flush()

    @property
    def full(self) -> bool:
        return self.left == 0


def _read(path: Path, options: Options, since: str, running: Callable[[], bool]) -> None:
    writer = _Writer(options, since)
    # As text streams have nothing of ours pending, bytes may go past them.
    sys.stdout.flush()
    file = path.open("rb")
    try:
        if options["tail"] >= 0:
            for line in deque(file, maxlen=options["tail"]) if options["tail"] else _skip(file):
                writer.write(line)
        rest, idle, ended = b"", 0, False
        while not writer.full:
            block = file.readline()
            if block:
                rest, idle = rest + block, 0
                if rest.endswith(b"\n"):
                    writer.write(rest)
                    rest = b""
                continue
            if not options["follow"] or ended:
                if rest and not options["follow"]:
                    writer.write(rest)
                return
            if rotated(file, path):
                file.close()
                file = path.open("rb")
                continue
            idle += 1
            if idle % _ASK_EVERY == 0:
                # What was written before the end is read once more.
                ended = not running()
                continue
            time.sleep(_POLL)
    finally:
        file.close()


def _skip(file: BinaryIO) -> list[bytes]:
    file.seek(0, os.SEEK_END)
    return []
