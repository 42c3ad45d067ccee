"""Watches of the cache that are pushed to, and reads by a pinned attribute, on both stores."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.storage.cache_entries import Entry
from controlplane.apiserver.storage.cache_watch import CacheWatch, Pending
from controlplane.apiserver.storage.cacher import Cacher, Limits
from controlplane.apiserver.storage.interface import Storage

Object = dict[str, Any]

LIMIT = 20


def pod(name: str, node: str = "") -> bytes:
    return orjson.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "node": node})


def on(node: str) -> Any:
    def selects(entry: Entry[Object]) -> bool:
        asked.append(entry.key)
        return bool(entry.attributes["node"] == node)

    asked: list[str] = []
    selects.asked = asked  # type: ignore[attr-defined]
    return selects


@pytest.fixture
async def cacher(store: Storage, prefix: str) -> AsyncIterator[Cacher[Object]]:
    cache: Cacher[Object] = Cacher(
        store, prefix, orjson.loads, value=lambda pod, name: str(pod[name]), limits=Limits(watch_buffer=LIMIT)
    )
    cache.start()
    yield cache
    await cache.close()


class Connection:
    """A sink: takes everything while it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.told: list[tuple[str, str]] = []
        self._more = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def sink(self, pending: Pending[Object]) -> bool:
        while pending and self.open.is_set():
            event = pending.popleft()
            self.told.append((event.type, event.entry.key.rpartition("/")[2] if event.entry else ""))
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self.open.is_set()

    async def drained(self) -> None:
        await self.open.wait()

    async def _tell(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def count(self, number: int) -> list[tuple[str, str]]:
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: len(self.told) >= number)
        return self.told


async def test_a_connection_that_is_full_is_written_to_again_when_it_has_drained(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    start = await store.create(prefix + "a", pod("a"))
    await cacher.get(prefix + "a")
    connection = Connection()
    watch = await cacher.watch(prefix, start)
    assert watch.live is not None
    pushing = asyncio.create_task(watch.live.push(connection.sink, connection.drained))
    await store.create(prefix + "b", pod("b"))
    assert await connection.count(1) == [("ADDED", "b")]
    connection.open.clear()
    for name in ("c", "d", "e"):
        await store.create(prefix + name, pod(name))
        await cacher.get(prefix + name)
    assert connection.told == [("ADDED", "b")]
    connection.open.set()
    assert await connection.count(4) == [("ADDED", name) for name in "bcde"]
    await cancel_and_wait(pushing)


async def test_a_connection_that_stays_full_ends_its_watch_and_no_other(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    start = await store.create(prefix + "a", pod("a"))
    await cacher.get(prefix + "a")
    slow, fast = Connection(), Connection()
    slow.open.clear()
    watches = [await cacher.watch(prefix, start) for _ in range(2)]
    pushing = [
        asyncio.create_task(watch.live.push(connection.sink, connection.drained))
        for watch, connection in zip(watches, (slow, fast), strict=True)
        if watch.live is not None
    ]
    for number in range(5 * LIMIT):
        await store.create(f"{prefix}{number}", pod("x"))
    assert len(await fast.count(5 * LIMIT)) == 5 * LIMIT
    assert isinstance(watches[0], CacheWatch) and watches[0].overrun and not slow.told
    slow.open.set()
    async with asyncio.timeout(60):
        await pushing[0]  # over, after what it was still owed
    assert len(slow.told) == LIMIT
    await cancel_and_wait(*pushing)


async def test_the_state_is_pushed_whole_however_small_the_buffer(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    for number in range(3 * LIMIT):
        await store.create(f"{prefix}{number:03}", pod("x"))
    connection = Connection()
    watch = await cacher.watch_state(prefix, initial_end=True)
    pushing = asyncio.create_task(watch.push(connection.sink, connection.drained))
    told = await connection.count(3 * LIMIT + 1)
    assert told == [("ADDED", f"{number:03}") for number in range(3 * LIMIT)] + [("BOOKMARK", "")]
    await cancel_and_wait(pushing)


async def test_a_watch_is_only_asked_about_objects_that_have_or_had_what_it_pins(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    start = await store.create(prefix + "a", pod("a", "one"))
    await cacher.get(prefix + "a")
    selects = on("two")
    async with await cacher.watch(prefix, start, selects=selects, pin=("node", "two")) as watch:
        for number in range(10):
            await store.create(f"{prefix}other-{number}", pod("x", "one"))
        second = await store.update(prefix + "a", pod("a", "two"), start)
        third = await store.update(prefix + "a", pod("a", "two"), second)
        await store.update(prefix + "a", pod("a", "one"), third)
        found: list[tuple[str, int]] = []
        async with asyncio.timeout(60):
            while len(found) < 3:
                found += [(event.type, event.revision) for event in await watch.batch()]
    assert found == [("ADDED", second), ("MODIFIED", third), ("DELETED", third + 1)]
    assert set(selects.asked) == {prefix + "a"}


async def test_a_list_by_what_is_pinned_looks_at_nothing_else(
    store: Storage, prefix: str, cacher: Cacher[Object]
) -> None:
    revisions = {name: await store.create(prefix + name, pod(name, "one")) for name in "cab"}
    await store.create(prefix + "d", pod("d", "two"))

    async def listed(node: str, limit: int = 0) -> list[str]:
        selects = on(node)
        page = await cacher.list(prefix, selects=selects, pin=("node", node), limit=limit)
        assert len(set(selects.asked)) == len(page.entries)
        return [entry.key.removeprefix(prefix) for entry in page.entries]

    assert (await listed("one"), await listed("two"), await listed("none")) == (["a", "b", "c"], ["d"], [])
    await store.update(prefix + "b", pod("b", "two"), revisions["b"])
    await store.delete(prefix + "a", revisions["a"])
    await store.create(prefix + "e", pod("e", "one"))
    assert (await listed("one"), await listed("two")) == (["c", "e"], ["b", "d"])
    assert await listed("two", limit=1) == ["b"]


async def test_an_object_that_cannot_be_read_stops_nobody(store: Storage, prefix: str, cacher: Cacher[Object]) -> None:
    start = await store.create(prefix + "a", pod("a", "one"))
    await cacher.get(prefix + "a")
    selects = on("one")
    async with await cacher.watch(prefix, start, selects=selects, pin=("node", "one")) as watch:
        await store.create(prefix + "odd", b'{"metadata":{"name":"odd"}}')
        await store.create(prefix + "odder", b'{"metadata":{"name":"odder"},"node":{}}')
        page = await cacher.list(prefix, selects=selects, pin=("node", "one"))
        last = await store.create(prefix + "b", pod("b", "one"))
        async with asyncio.timeout(60):
            assert [event.revision for event in await watch.batch()] == [last]
    assert [entry.key for entry in page.entries] == [prefix + "a"]
