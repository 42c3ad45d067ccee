"""The watch cache on both stores: what it serves is what the store holds, at the freshness asked for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.storage.cache_entries import Entry, WatchEvent
from controlplane.apiserver.storage.cache_history import EventStream
from controlplane.apiserver.storage.cache_watch import CacheWatch, Pending
from controlplane.apiserver.storage.cacher import Cacher, Limits
from controlplane.apiserver.storage.interface import Compacted, FutureRevision, Storage, Unavailable

Object = dict[str, Any]


def pod(name: str, **labels: str) -> bytes:
    return orjson.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}})


def web(entry: Entry[Object]) -> bool:
    return entry.attributes["metadata"]["labels"].get("app") == "web"


@pytest.fixture
async def cacher(store: Storage, prefix: str) -> AsyncIterator[Cacher[Object]]:
    cache = Cacher(store, prefix, orjson.loads, limits=Limits(watch_buffer=100, ring_events=50))
    cache.start()
    yield cache
    await cache.close()


async def collect(watch: EventStream[Object], count: int) -> list[WatchEvent[Object]]:
    """The next events, exactly so many."""
    found: list[WatchEvent[Object]] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            batch = await watch.batch()
            assert batch, "the watch ended"
            found += batch
    assert len(found) == count
    return found


def told(events: list[WatchEvent[Object]]) -> list[tuple[str, str, int]]:
    return [(event.type, event.entry.key.rpartition("/")[2], event.revision) for event in events]


async def test_reads_see_what_was_acknowledged(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    for number in range(50):
        key = f"{prefix}ns/{number}"
        revision = await store.create(key, pod(str(number)))
        entry = await cacher.get(key)
        assert entry.revision == revision
        assert entry.attributes["metadata"]["resourceVersion"] == str(revision)
    revision = await store.delete(key, revision)
    assert await cacher.get(key) is None
    page = await cacher.list(prefix)
    assert page.revision >= revision
    assert [orjson.loads(b"[" + page.joined() + b"]")[0]["metadata"]["name"]] == ["0"]
    assert [entry.key for entry in page.entries] == sorted(f"{prefix}ns/{number}" for number in range(49))


async def test_consistent_read_after_writes_elsewhere(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    """An idle type must learn that it is up to date, or every list of it would wait for nothing."""
    await cacher.wait_ready()
    for number in range(20):
        last = await store.create(f"/registry/elsewhere-{prefix.split('/')[2]}/{number}", pod("x"))
        assert (await cacher.list(prefix)).revision >= last


async def test_freshness(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    revision = await store.create(prefix + "a", pod("a"))
    assert (await cacher.list(prefix, fresh=revision)).revision >= revision
    assert (await cacher.list(prefix, fresh=0)).revision >= revision
    with pytest.raises(FutureRevision, match="Too large resource version"):
        await cacher.list(prefix, fresh=await store.current_revision() + 1000)
    assert (await cacher.list(prefix)).revision >= revision


async def test_namespaces_and_selection(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    for namespace in ("a", "a-b", "b"):
        await store.create(f"{prefix}{namespace}/1", pod("1", app="web"))
        await store.create(f"{prefix}{namespace}/2", pod("2", app="db"))
    assert [entry.key for entry in (await cacher.list(prefix + "a/")).entries] == [prefix + "a/1", prefix + "a/2"]
    assert [entry.key for entry in (await cacher.list(prefix, selects=web)).entries] == [
        f"{prefix}{namespace}/1" for namespace in ("a-b", "a", "b")
    ]


async def test_pages_of_one_moment(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    keys = [f"{prefix}{number:02}" for number in range(10)]
    for key in keys:
        await store.create(key, pod(key[-2:], app="web" if int(key[-2:]) % 2 else "db"))
    first = await cacher.list(prefix, limit=3)
    assert ([entry.key for entry in first.entries], first.more, first.remaining) == (keys[:3], True, 7)
    quiet = await cacher.list_at(prefix, first.revision, limit=3, start_after=keys[2])
    await store.delete(keys[4], (await store.get(keys[4])).mod_revision)
    await store.create(keys[4] + "x", pod("new"))
    moved = await cacher.list_at(prefix, first.revision, limit=3, start_after=keys[2])
    for page in (quiet, moved):
        assert ([entry.key for entry in page.entries], page.revision) == (keys[3:6], first.revision)
        assert (page.more, page.remaining) == (True, 4)
    rest = await cacher.list_at(prefix, first.revision, start_after=keys[5], selects=web)
    assert ([entry.key for entry in rest.entries], rest.more) == ([keys[7], keys[9]], False)


async def test_watch_from_a_revision(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    created = await store.create(prefix + "a", pod("a"))
    updated = await store.update(prefix + "a", pod("a", app="web"), created)
    await cacher.get(prefix + "a")
    async with await cacher.watch(prefix, created) as watch:
        removed = await store.delete(prefix + "a", updated)
        events = await collect(watch, 2)
    assert told(events) == [("MODIFIED", "a", updated), ("DELETED", "a", removed)]
    line = orjson.loads(events[1].frame)
    assert line["type"] == "DELETED"
    assert line["object"]["metadata"] == {"name": "a", "labels": {"app": "web"}, "resourceVersion": str(removed)}


async def test_selection_turns_changes_into_comings_and_goings(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    start = await store.create(prefix + "other", pod("other", app="db"))
    await cacher.get(prefix + "other")
    async with await cacher.watch(prefix, start, selects=web) as watch:
        first = await store.create(prefix + "a", pod("a", app="db"))
        second = await store.update(prefix + "a", pod("a", app="web"), first)
        third = await store.update(prefix + "a", pod("a", app="web", tier="1"), second)
        fourth = await store.update(prefix + "a", pod("a", app="db"), third)
        await store.delete(prefix + "a", fourth)
        last = await store.create(prefix + "b", pod("b", app="web"))
        events = await collect(watch, 4)
    assert told(events) == [
        ("ADDED", "a", second), ("MODIFIED", "a", third), ("DELETED", "a", fourth), ("ADDED", "b", last)
    ]  # fmt: skip
    # The client is shown the last state that it could see, at the revision at which it lost sight of it.
    assert orjson.loads(events[2].frame)["object"]["metadata"] == {
        "name": "a", "labels": {"app": "web", "tier": "1"}, "resourceVersion": str(fourth)
    }  # fmt: skip


async def test_watch_of_the_state_joins_without_gap(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    for name in ("b", "a"):
        await store.create(prefix + name, pod(name))
    async with await cacher.watch_state(prefix, initial_end=True) as watch:
        last = await store.create(prefix + "c", pod("c"))
        events = await collect(watch, 4)
    assert [event.type for event in events] == ["ADDED", "ADDED", "BOOKMARK", "ADDED"]
    assert [event.entry.key for event in events[:2]] == [prefix + "a", prefix + "b"]
    assert (events[2].initial_end, events[2].revision) == (True, last - 1)
    assert events[3].revision == last


async def test_what_the_cache_has_forgotten_comes_from_the_store(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    first = revision = await store.create(prefix + "a", pod("a", app="web"))
    await cacher.get(prefix + "a")
    for number in range(300):
        labels = {"app": "web"} if number % 3 else {}
        revision = await store.update(prefix + "a", pod("a", n=str(number), **labels), revision)
    gone = await store.delete(prefix + "a", revision)
    await cacher.get(prefix + "a")
    for start in (first, gone - 51, gone - 50):
        async with await cacher.watch(prefix, start, bookmarks=True) as watch:
            events = await collect(watch, gone - start)
            assert [event.revision for event in events] == list(range(start + 1, gone + 1))
            assert [event.type for event in events] == ["MODIFIED"] * (gone - start - 1) + ["DELETED"]
    async with await cacher.watch(prefix, first, selects=web) as watch:
        events = await collect(watch, 301)
    assert [event.type for event in events[:6]] == ["DELETED", "ADDED", "MODIFIED", "DELETED", "ADDED", "MODIFIED"]
    assert told(events)[-1] == ("DELETED", "a", gone)
    async with await cacher.watch(prefix, first) as watch:
        await collect(watch, gone - first)
        later = await store.create(prefix + "b", pod("b"))
        assert told(await collect(watch, 1)) == [("ADDED", "b", later)]


async def test_history_and_writes_at_once_join_without_gap(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    first = revision = await store.create(prefix + "a", pod("a"))
    for number in range(400):
        revision = await store.update(prefix + "a", pod("a", n=str(number)), revision)
    await cacher.get(prefix + "a")

    async def write() -> int:
        last = 0
        for number in range(400):
            last = await store.create(f"{prefix}b{number:03}", pod("b"))
        return last

    async with await cacher.watch(prefix, first) as watch:
        writer = asyncio.create_task(write())
        events = await collect(watch, 800)
    assert [event.revision for event in events] == list(range(first + 1, await writer + 1))


async def test_what_the_store_has_forgotten_is_told_by_the_stream(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    first = revision = await store.create(prefix + "a", pod("a"))
    await cacher.get(prefix + "a")
    for number in range(60):
        revision = await store.update(prefix + "a", pod("a", n=str(number)), revision)
    await cacher.get(prefix + "a")
    await store.compact(revision)
    async with await cacher.watch(prefix, first) as watch, asyncio.timeout(60):
        with pytest.raises(Compacted, match=rf"too old resource version: {first} \({revision}\)"):
            await watch.batch()
    async with await cacher.watch(prefix, revision - 50) as watch:
        assert [event.revision for event in await collect(watch, 50)] == list(range(revision - 49, revision + 1))


async def test_a_slow_watch_is_closed_and_the_others_are_not(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    start = await store.create(prefix + "a", pod("a"))
    await cacher.get(prefix + "a")
    slow, fast = await cacher.watch(prefix, start), await cacher.watch(prefix, start)
    reader = asyncio.create_task(collect(fast, 500))
    await asyncio.gather(*(store.create(f"{prefix}{number}", pod("x")) for number in range(500)))
    assert len(await reader) == 500
    assert isinstance(slow, CacheWatch) and slow.overrun
    assert isinstance(fast, CacheWatch) and not fast.overrun
    async with asyncio.timeout(60):
        assert len([event async for event in slow]) == 100


async def test_one_encoding_for_all_watches(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    start = await store.create(prefix + "a", pod("a"))
    await cacher.get(prefix + "a")
    watches = [await cacher.watch(prefix, start) for _ in range(3)]
    encoded: list[str] = []

    def encode(event: WatchEvent[Object]) -> bytes:
        encoded.append(event.type)
        return event.frame

    frames: list[bytes] = []

    def sink(pending: Pending[Object]) -> bool:
        frames.append(pending.popleft().encoded("line", encode))
        return len(frames) < 3

    async def drained() -> None:
        raise EOFError

    pushing = [asyncio.create_task(watch.live.push(sink, drained)) for watch in watches if watch.live]
    await store.create(prefix + "b", pod("b"))
    async with asyncio.timeout(60):
        done, _ = await asyncio.wait(pushing, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(done.pop().exception(), EOFError)
    assert encoded == ["ADDED"] and frames[0] is frames[1] is frames[2]
    await cancel_and_wait(*pushing)


async def test_a_selection_that_fails_ends_only_its_own_watch(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    start = await store.create(prefix + "a", pod("a"))
    await cacher.get(prefix + "a")
    bad = await cacher.watch(prefix, start, selects=lambda entry: entry.attributes["none"])
    good = await cacher.watch(prefix, start)
    await store.create(prefix + "b", pod("b"))
    await collect(good, 1)
    assert await bad.batch() == []


async def test_who_waits_for_a_cache_that_is_closed_is_answered(store: Storage, prefix: str) -> None:
    """A definition that changes closes the cache of its kind, with requests under way that have just opened it."""
    last = await store.create(f"{prefix}ns/a", pod("a"))
    cache = Cacher(store, prefix, orjson.loads)
    cache.start()
    reads = [asyncio.create_task(cache.get(f"{prefix}ns/a")) for _ in range(3)]
    watching = asyncio.create_task(cache.watch(prefix, last))
    await asyncio.sleep(0)  # they have begun
    async with asyncio.timeout(60):
        await cache.close()
        assert [entry.revision for entry in await asyncio.gather(*reads)] == [last] * 3
        assert await (await watching).batch() == [], "and its watch is over"


async def test_a_cache_that_is_closed_unfilled_says_so(store: Storage, prefix: str) -> None:
    cache = Cacher(store, prefix, orjson.loads)  # not started
    reading = asyncio.create_task(cache.get(f"{prefix}ns/a"))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await cache.close()
        with pytest.raises(Unavailable):
            await reading


async def test_what_is_no_object_is_not_served(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    await store.create(prefix + "a", b"written by hand")
    revision = await store.create(prefix + "b", b'{"metadata":{"resourceVersion":"7"},"kind":"Pod"}')
    entries = (await cacher.list(prefix)).entries
    assert [(entry.key, entry.attributes["metadata"]["resourceVersion"]) for entry in entries] == [
        (prefix + "b", str(revision))
    ]
