"""Watches: every change once, in order, from any revision."""

import asyncio

import pytest

from controlplane.apiserver.storage.interface import Change, ChangeType, Storage, Unavailable
from tests.conformance.storage.watch_reading import take, take_until


async def test_what_a_watch_says(store: Storage, prefix: str) -> None:
    start = await store.current_revision()
    async with store.watch(prefix, start) as watch:
        created = await store.create(prefix + "a", b"1")
        updated = await store.update(prefix + "a", b"2", created)
        deleted = await store.delete(prefix + "a", updated)
        again = await store.create(prefix + "a", b"3")
        assert await take(watch, 4) == [
            Change(ChangeType.CREATE, prefix + "a", b"1", None, created),
            Change(ChangeType.UPDATE, prefix + "a", b"2", b"1", updated),
            Change(ChangeType.DELETE, prefix + "a", b"", b"2", deleted),
            Change(ChangeType.CREATE, prefix + "a", b"3", None, again),
        ]


async def test_resume_from_any_revision(store: Storage, prefix: str) -> None:
    start = await store.current_revision()
    revision = 0
    for number in range(30):
        key = f"{prefix}{number % 4}"
        item = await store.get(key)
        if item is None:
            revision = await store.create(key, str(number).encode())
        elif number % 5:
            revision = await store.update(key, str(number).encode(), item.mod_revision)
        else:
            revision = await store.delete(key, item.mod_revision)
    async with store.watch(prefix, start) as watch:
        whole = await take_until(watch, revision)
    assert [change.revision for change in whole] == list(range(start + 1, revision + 1))
    for after in range(start, revision + 1):
        async with store.watch(prefix, after) as watch:
            assert await take_until(watch, revision) == [change for change in whole if change.revision > after]


async def test_no_gap_and_no_duplicate_under_writes(store: Storage, prefix: str) -> None:
    """Watches begun at random moments of a storm of writes, each continued once in its middle."""
    start = await store.current_revision()
    writes: dict[int, tuple[str, bytes]] = {}

    async def write(worker: int) -> None:
        for number in range(60):
            key = f"{prefix}{worker}/{number % 3}"
            value = f"{worker} {number}".encode()
            item = await store.get(key)
            revision = await (store.create(key, value) if item is None else store.update(key, value, item.mod_revision))
            writes[revision] = (key, value)

    async def follow(from_revision: int) -> list[Change]:
        async with store.watch(prefix, from_revision) as watch:
            first = await take(watch, 20)
        async with store.watch(prefix, first[-1].revision) as watch:
            return first + await take(watch, 8 * 60 - 20 - (from_revision - start))

    async def follow_later() -> tuple[int, list[Change]]:
        while len(writes) < 100:
            await asyncio.sleep(0)
        middle = sorted(writes)[50]
        return middle, await follow(middle)

    async with asyncio.TaskGroup() as group:
        early = group.create_task(follow(start))
        late = group.create_task(follow_later())
        for worker in range(8):
            group.create_task(write(worker))
    expected = [(revision, *writes[revision]) for revision in sorted(writes)]
    assert len(expected) == 480
    assert [(change.revision, change.key, change.value) for change in early.result()] == expected
    middle, seen = late.result()
    assert [(change.revision, change.key, change.value) for change in seen] == [
        write for write in expected if write[0] > middle
    ]


async def test_only_the_prefix(store: Storage, prefix: str) -> None:
    start = await store.current_revision()
    async with store.watch(prefix + "a/", start) as watch:
        await store.create(prefix + "a", b"no")
        await store.create(prefix + "ab/x", b"no")
        mine = await store.create(prefix + "a/x", b"yes")
        last = await store.create(prefix + "b/x", b"no")
        assert [change.revision for change in await take_until(watch, last)] == [mine]


async def test_a_future_revision_is_waited_for(store: Storage, prefix: str) -> None:
    start = await store.current_revision()
    async with store.watch(prefix, start + 2) as watch:
        revisions = [await store.create(f"{prefix}{number}", b"x") for number in range(4)]
        assert [change.revision for change in await take(watch, 2)] == revisions[2:]


async def test_progress_without_changes(store: Storage, prefix: str) -> None:
    async with store.watch(prefix + "idle/", await store.current_revision()) as watch:
        last = await store.create(prefix + "other", b"x")
        watch.request_progress(last)
        async with asyncio.timeout(60):
            change = await anext(watch)
        assert change.type is ChangeType.PROGRESS
        assert change.revision >= last


async def test_progress_never_overtakes_changes(store: Storage, prefix: str) -> None:
    async with store.watch(prefix, await store.current_revision()) as watch:

        async def write() -> None:
            for number in range(200):
                watch.request_progress(await store.create(f"{prefix}{number}", b"x"))
            watch.request_progress(await store.create(f"{prefix}last", b"x"))

        writer = asyncio.create_task(write())
        newest = 0
        async with asyncio.timeout(60):
            async for change in watch:
                assert change.revision >= newest
                if change.type is not ChangeType.PROGRESS:
                    assert change.revision > newest
                    if change.key == prefix + "last":
                        break
                newest = change.revision
        await writer


async def test_a_slow_reader_loses_nothing(store: Storage, prefix: str) -> None:
    """More changes than a watch buffers (see hub.BUFFER), read only after all of them have happened."""
    start = await store.current_revision()
    async with store.watch(prefix, start) as watch:
        total = 0
        for _ in range(11):
            created = await asyncio.gather(*(store.create(f"{prefix}{total + i}", b"x") for i in range(1000)))
            total += 1000
        last = max(created)
        seen = await take_until(watch, last, deadline=60)
    assert [change.revision for change in seen] == list(range(start + 1, last + 1))


async def test_closing_ends_a_waiting_reader(store: Storage, prefix: str) -> None:
    watch = store.watch(prefix, await store.current_revision())
    reader = asyncio.create_task(anext(watch, None))
    await asyncio.sleep(0)
    await watch.aclose()
    async with asyncio.timeout(60):
        assert await reader is None


async def test_closing_the_store_ends_watches(store: Storage, prefix: str) -> None:
    watch = store.watch(prefix, await store.current_revision())
    reader = asyncio.create_task(anext(watch))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(Unavailable):
        await reader
