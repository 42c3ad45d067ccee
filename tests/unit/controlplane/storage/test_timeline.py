"""Times of revisions: samples, what is forgotten, what a later server learns."""

import asyncio
from pathlib import Path

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.storage.sqlite import SqliteStorage
from controlplane.apiserver.storage.timeline import KEY, TimeKeeper, Timeline


def test_the_newest_by_then() -> None:
    timeline = Timeline(3600)
    for time, revision in ((10, 5), (11, 5), (12, 9), (12, 10), (11, 11), (20, 12)):
        timeline.note(time, revision)
    assert [timeline.at(time) for time in (9.9, 10, 11.9, 12, 19.9, 20, 99)] == [None, 5, 5, 9, 9, 12, 12]
    assert [timeline.time_of(revision) for revision in (4, 5, 6, 9, 10, 12, 13)] == [None, 10, 12, 12, 20, 20, None]


def test_the_past_is_forgotten_but_for_its_end() -> None:
    timeline = Timeline(100)
    for second in range(1000):
        timeline.note(second, second + 1)
    assert timeline.at(899) == 900
    assert timeline.at(500) is None
    assert timeline.at(999) == 1000


def test_samples_of_others_come_before_ones_own() -> None:
    timeline = Timeline(3600)
    timeline.note(100, 50)
    timeline.merge([(40, 10), (80, 30), (90, 60), (120, 70)])
    assert [timeline.at(time) for time in (39, 40, 85, 95, 100, 130)] == [None, 10, 30, 30, 50, 50]


def test_one_sample_a_minute_is_left() -> None:
    timeline = Timeline(3600)
    for second in range(150):
        timeline.note(second, second + 1)
    assert timeline.thinned(60) == [(59, 60), (119, 120), (149, 150)]


async def test_a_later_server_learns(tmp_path: Path) -> None:
    store, clock, timeline = await SqliteStorage.open(tmp_path / "state.db"), ManualClock(), Timeline(3600)
    first = await store.create("/registry/a/x", b"1")
    runner = asyncio.create_task(TimeKeeper(store, clock, timeline).run())
    begun = clock.now().timestamp()

    async with asyncio.timeout(10):
        while timeline.at(begun) is None or await store.get(KEY) is None:
            await asyncio.sleep(0.01)
    second = await store.create("/registry/a/y", b"1")
    await clock.advance(1)
    assert timeline.at(begun) == first
    async with asyncio.timeout(10):
        while timeline.at(begun + 1) != second:
            await asyncio.sleep(0.01)
    runner.cancel()
    later = Timeline(3600)
    keeper = asyncio.create_task(TimeKeeper(store, clock, later).run())
    async with asyncio.timeout(10):
        while later.at(begun) is None:
            await asyncio.sleep(0.01)
    assert later.at(begun) == first
    keeper.cancel()
    await store.close()
