"""Compaction by one of several API servers, against a real SQLite store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.storage.compactor import Compactor
from controlplane.apiserver.storage.interface import Compacted
from controlplane.apiserver.storage.sqlite import SqliteStorage
from controlplane.apiserver.storage.timeline import Timeline

HOUR = 3600.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    opened = await SqliteStorage.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def test_history_of_an_hour_stays(store: SqliteStorage) -> None:
    clock, timeline = ManualClock(), Timeline(HOUR)
    compactor = Compactor(store, clock, timeline, retention=HOUR)
    first = await store.create("/registry/a/x", b"1")
    held = await store.update("/registry/a/x", b"2", first)
    timeline.note(clock.now().timestamp(), held)
    await clock.advance(HOUR - 1)
    await store.update("/registry/a/x", b"3", held)
    assert await compactor.compact_once() is None
    assert [item.value for item in (await store.list("/registry/a/", revision=first)).items] == [b"1"]
    await clock.advance(1)
    assert await compactor.compact_once() == held
    with pytest.raises(Compacted):
        await store.list("/registry/a/", revision=first)
    assert [item.value for item in (await store.list("/registry/a/", revision=held)).items] == [b"2"]


async def test_an_interval_is_the_least(store: SqliteStorage) -> None:
    clock, timeline = ManualClock(), Timeline(HOUR)
    timeline.note(clock.now().timestamp(), await store.create("/registry/a/x", b"1"))
    compactor = Compactor(store, clock, timeline, retention=0, interval=300)
    await clock.advance(299)
    assert await compactor.compact_once() is None
    await clock.advance(1)
    assert await compactor.compact_once() is not None


async def test_one_of_two_servers_compacts(store: SqliteStorage) -> None:
    clock, timeline = ManualClock(), Timeline(HOUR)
    timeline.note(clock.now().timestamp(), await store.create("/registry/a/x", b"1"))
    await clock.advance(HOUR)
    one, other = (Compactor(store, clock, timeline, retention=HOUR) for _ in range(2))
    await one.compact_once()
    assert await other.compact_once() is None
    for _ in range(3):
        assert await one.compact_once() is not None
        assert await other.compact_once() is None
    assert await other.compact_once() is not None
    assert await one.compact_once() is None


async def test_it_runs_every_interval(store: SqliteStorage) -> None:
    clock, timeline = ManualClock(), Timeline(HOUR)
    first = await store.create("/registry/a/x", b"1")
    timeline.note(clock.now().timestamp(), await store.update("/registry/a/x", b"2", first))
    runner = asyncio.create_task(Compactor(store, clock, timeline, retention=0, interval=300).run())
    await clock.advance(299)
    await store.list("/registry/a/", revision=first)
    await clock.advance(1)
    async with asyncio.timeout(10):
        while True:
            try:
                await store.list("/registry/a/", revision=first)
                await asyncio.sleep(0.01)
            except Compacted:
                break
    runner.cancel()
