"""The rules of the hub that real stores reach only by luck: overruns in the middle, several changes in one revision."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.apiserver.storage.hub import HubWatch, WatchHub
from controlplane.apiserver.storage.interface import Change, ChangeType, Compacted, Revision, Unavailable


def change(revision: int, key: str = "/a/x") -> Change:
    return Change(ChangeType.UPDATE, key, b"", None, revision)


class Log:
    """A whole store: every change, published to a hub and readable as history."""

    def __init__(self, buffer: int) -> None:
        self.changes: list[Change] = []
        self.hub = WatchHub(1, buffer)

    def write(self, *batch: Change) -> None:
        self.changes += batch
        self.hub.publish(batch, batch[-1].revision)

    async def history(self, prefix: str, after: Revision, up_to: Revision) -> tuple[Sequence[Change], Revision]:
        await asyncio.sleep(0)
        up_to = min(up_to, after + 3)
        found = [c for c in self.changes if after < c.revision <= up_to and c.key.startswith(prefix)]
        return found, up_to

    def watch(self, prefix: str, from_revision: Revision) -> HubWatch:
        return HubWatch(self.hub, self.history, prefix, from_revision)


@given(
    batches=st.lists(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["/a/x", "/a/y", "/b/x"])), min_size=1)),
    reads=st.lists(st.integers(0, 4)),
    start=st.integers(1, 20),
    buffer=st.integers(1, 4),
)
@settings(deadline=None)
def test_every_change_once_in_order(
    batches: list[list[tuple[int, str]]], reads: list[int], start: int, buffer: int
) -> None:
    """Whatever is written in whatever batches (a step of 0 shares the revision before it, inside a batch), read at
    whatever pace."""

    async def run() -> None:
        log = Log(buffer)
        watch = log.watch("/a/", start)
        seen: list[Change] = []
        reader = None
        paces = iter(reads)
        for batch in batches:
            revision = log.hub.revision + 1
            changes = []
            for step, key in batch:
                revision += step
                changes.append(change(revision, key))
            log.write(*changes)
            for _ in range(next(paces, 0)):
                reader = reader or asyncio.create_task(anext(watch))
                await asyncio.sleep(0)
                if reader.done():
                    seen.append(reader.result())
                    reader = None
        log.write(change(max(log.hub.revision, start) + 1, "/a/last"))
        while not seen or seen[-1].key != "/a/last":
            seen.append(await (reader or anext(watch)))
            reader = None
        assert seen == [c for c in log.changes if c.key.startswith("/a/") and c.revision > start]

    async def in_time() -> None:
        async with asyncio.timeout(2):
            await run()

    asyncio.run(in_time())


async def test_progress_is_told_when_it_is_true() -> None:
    log = Log(10)
    watch = log.watch("/a/", 1)
    watch.request_progress(3)
    reader = asyncio.create_task(anext(watch))
    log.write(change(2, "/b/x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not reader.done()
    log.write(change(3, "/b/x"))
    assert await reader == Change(ChangeType.PROGRESS, "", b"", None, 3)


async def test_a_far_future_request_hides_no_near_one() -> None:
    log = Log(10)
    watch = log.watch("/a/", 1)
    watch.request_progress(10**9)
    watch.request_progress(1)
    assert (await anext(watch)).revision == 1


async def test_what_is_buffered_comes_before_the_end() -> None:
    log = Log(10)
    watch = log.watch("/a/", 1)
    log.write(change(2))
    log.hub.fail(Unavailable("closed"))
    assert (await anext(watch)).revision == 2
    with pytest.raises(Unavailable):
        await anext(watch)
    with pytest.raises(Unavailable):
        await anext(log.watch("/a/", 2))


async def test_missed_changes_end_the_watches_of_before_only() -> None:
    log = Log(10)
    old = log.watch("/a/", 1)
    log.hub.reset(Compacted(1, 5), 5)
    new = log.watch("/a/", 5)
    log.write(change(6))
    with pytest.raises(Compacted):
        await anext(old)
    assert (await anext(new)).revision == 6


def test_prefixes_are_whole_segments() -> None:
    with pytest.raises(ValueError, match="ends with"):
        WatchHub(1).attach("/registry/pods")
