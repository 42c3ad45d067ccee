"""Telling that the machine ran out of memory, of which the kernel's log says (pkg/kubelet/oom).

A container that is ended for its own limit is no news of the node: that the container's status says. What the log held
before the agent was there is not told again, as upstream would.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

_KMSG = Path("/dev/kmsg")
_RECORD_MAX = 8192  # bytes of one entry of the kernel's log
_BEGINS = re.compile(r"invoked oom-killer:")
_OF_A_GROUP = re.compile(r"oom-kill:constraint=.*,oom_memcg=.*,task_memcg=|Task in .* killed as a result of limit of")
_KILLED = re.compile(r"Killed process ([0-9]+) \((.+)\)")


class Log:
    """The entries of the kernel's log, read one after another."""

    def __init__(self) -> None:
        self._begun = self._whole = False

    def feed(self, entry: str) -> str | None:
        """What to tell of the node, when this entry ends the tale of a machine without memory."""
        if not self._begun:
            self._begun = self._whole = bool(_BEGINS.search(entry))
            return None
        if _OF_A_GROUP.search(entry):
            self._whole = False
        killed = _KILLED.search(entry)
        if killed is None:
            return None
        self._begun = False
        if not self._whole:
            return None
        return f"System OOM encountered, victim process: {killed[2]}, pid: {killed[1]}"


class OomWatcher:
    """say: (type, reason, message) of an event about the node. path: the kernel's log."""

    def __init__(self, say: Callable[[str, str, str], None], path: Path = _KMSG) -> None:
        self._say, self._path, self._log = say, path, Log()

    async def run(self) -> None:
        """Tell of it until cancelled; where the log may not be read nothing is told."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            try:
                descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                undo.callback(os.close, descriptor)
                with contextlib.suppress(OSError):
                    os.lseek(descriptor, 0, os.SEEK_END)
                loop.add_reader(descriptor, self._read, descriptor)
                undo.callback(loop.remove_reader, descriptor)
            except OSError as error:
                log.warning("that the machine is out of memory cannot be told: %s", error)
            await asyncio.Event().wait()

    def _read(self, descriptor: int) -> None:
        try:
            record = os.read(descriptor, _RECORD_MAX)
        except (BlockingIOError, BrokenPipeError):
            return  # nothing there, or entries were lost: the next reading goes on behind them
        except OSError as error:
            log.warning("the kernel's log cannot be read any more: %s", error)
            asyncio.get_running_loop().remove_reader(descriptor)
            return
        # Lines that begin with a space are an entry's dictionary.
        for line in record.decode(errors="replace").splitlines():
            if not line.startswith(" ") and (told := self._log.feed(line.partition(";")[2])):
                self._say("Warning", "SystemOOM", told)
