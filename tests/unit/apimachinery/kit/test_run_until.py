"""The parts of a daemon: they end together, for whichever reason."""

import asyncio

import pytest

from apimachinery.kit.tasks import run_until


class Part:
    """Runs until cancelled, and says that it was."""

    def __init__(self) -> None:
        self.running, self.ended = asyncio.Event(), False

    async def run(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def test_all_end_when_told_to_stop() -> None:
    stop, parts = asyncio.Event(), [Part(), Part()]

    async def tell() -> None:
        for part in parts:
            await part.running.wait()
        stop.set()

    async with asyncio.timeout(60):
        await run_until(stop, [*(part.run() for part in parts), tell()])
    assert all(part.ended for part in parts)


async def test_one_that_fails_ends_all_and_is_told() -> None:
    part = Part()

    async def fail() -> None:
        await part.running.wait()
        raise OSError("the port is taken")

    async with asyncio.timeout(60):
        with pytest.raises(OSError, match="the port is taken"):
            await run_until(asyncio.Event(), [part.run(), fail()])
    assert part.ended


async def test_whoever_cancels_ends_all() -> None:
    part = Part()
    running = asyncio.create_task(run_until(asyncio.Event(), [part.run()]))
    async with asyncio.timeout(60):
        await part.running.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert part.ended
