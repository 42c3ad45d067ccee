"""Reading a watch in a test: so many changes, or all up to a revision, or failing in time."""

import asyncio

from controlplane.apiserver.storage.interface import Change, ChangeType, Watch


async def take(watch: Watch, count: int, deadline: float = 60.0) -> list[Change]:
    """The next `count` changes, without progress; fails when they do not come."""
    found: list[Change] = []
    async with asyncio.timeout(deadline):
        while len(found) < count:
            change = await anext(watch)
            if change.type is not ChangeType.PROGRESS:
                found.append(change)
    return found


async def take_until(watch: Watch, revision: int, deadline: float = 60.0) -> list[Change]:
    """Every change up to `revision`, proven complete by the watch's own progress."""
    found: list[Change] = []
    watch.request_progress(revision)
    async with asyncio.timeout(deadline):
        async for change in watch:
            if change.type is not ChangeType.PROGRESS:
                found.append(change)
            if change.revision >= revision:
                return found
    raise AssertionError("the watch ended")
