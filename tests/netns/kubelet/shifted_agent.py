"""The kubelet with a wall clock that can be moved: `python -m tests.netns.kubelet.shifted_agent FILE FLAGS…`.

FILE holds by how many seconds the clock is off, and is read whenever the time is asked.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta
from pathlib import Path

from apimachinery.kit import logs, trust
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import run_daemon
from nodeagent.kubelet import config
from nodeagent.kubelet.wire import build


class ShiftedClock(SystemClock):
    """The machine's clocks, the one on the wall off by what a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=float(self._file.read_text()))


def main() -> int:
    logs.setup(0)
    trust.load_aiohttp_without_system_authorities()
    clock, configuration = ShiftedClock(Path(sys.argv[1])), config.load(sys.argv[2:])

    async def body(stop: asyncio.Event) -> None:
        await (await build(configuration, clock)).run(stop)

    return run_daemon(body)


if __name__ == "__main__":
    raise SystemExit(main())
