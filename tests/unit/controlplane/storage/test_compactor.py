"""Compaction by one of several API servers, against a real SQLite store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.storage.compactor import Compactor
from controlplane.apiserver.storage.interface import Compacted
from controlplane.apiserver.storage.sqlite import SqliteStorage


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    opened = await SqliteStorage.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def test_history_of_the_last_interval_stays(store: SqliteStorage) -> None:
    compactor = Compactor(store, ManualClock())
    first = await store.create("/registry/a/x", b"1")
    assert await compactor.compact_once() is None
    second = await store.update("/registry/a/x", b"2", first)
    target = await compactor.compact_once()
    assert target is not None
    assert first < target < second
    with pytest.raises(Compacted):
        await store.list("/registry/a/", revision=first)
    assert [item.value for item in (await store.list("/registry/a/", revision=target)).items] == [b"1"]


async def test_one_of_two_servers_compacts(store: SqliteStorage) -> None:
    one, other = Compactor(store, ManualClock()), Compactor(store, ManualClock())
    await one.compact_once()
    assert await other.compact_once() is None
    for _ in range(3):
        assert await one.compact_once() is not None
        assert await other.compact_once() is None
    assert await other.compact_once() is not None
    assert await one.compact_once() is None


async def test_it_runs_every_interval(store: SqliteStorage) -> None:
    clock = ManualClock()
    first = await store.create("/registry/a/x", b"1")
    runner = asyncio.create_task(Compactor(store, clock, interval=300).run())

    async def until_marked(times: int) -> int:
        async with asyncio.timeout(10):
            async with store.watch("", first) as watch:
                found = [await anext(watch) for _ in range(times)]
        return found[-1].revision

    await clock.advance(299)
    assert await store.current_revision() == first
    await clock.advance(2)
    marked = await until_marked(1)
    assert marked == first + 1
    await clock.advance(300)
    async with asyncio.timeout(10):
        while True:
            try:
                await store.list("/registry/a/", revision=first)
                await asyncio.sleep(0.01)
            except Compacted:
                break
    runner.cancel()
