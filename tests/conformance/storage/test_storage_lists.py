"""Lists: one consistent snapshot, whole or page by page."""

import asyncio

import pytest

from controlplane.apiserver.storage.interface import Compacted, FutureRevision, RevisionMismatch, Storage


async def test_order_and_revision(store: Storage, prefix: str) -> None:
    for name in ("b", "a/z", "a", "c", "a-1"):
        await store.create(prefix + name, name.encode())
    page = await store.list(prefix)
    assert [item.key for item in page.items] == [prefix + name for name in ("a", "a-1", "a/z", "b", "c")]
    assert [item.value for item in page.items] == [b"a", b"a-1", b"a/z", b"b", b"c"]
    assert page.revision == await store.current_revision()
    assert (page.more, page.remaining) == (False, 0)


async def test_only_the_prefix(store: Storage, prefix: str) -> None:
    inside, outside = prefix + "in/", prefix + "in-side/"
    await store.create(inside + "a", b"1")
    await store.create(outside + "a", b"1")
    await store.create(prefix + "in0", b"1")
    assert [item.key for item in (await store.list(inside)).items] == [inside + "a"]


async def test_empty(store: Storage, prefix: str) -> None:
    page = await store.list(prefix)
    assert (list(page.items), page.more) == ([], False)
    assert page.revision == await store.current_revision()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages(store: Storage, prefix: str, limit: int) -> None:
    names = [f"{prefix}{number:02}" for number in range(7)]
    for name in names:
        await store.create(name, b"x")
    found: list[str] = []
    while True:
        page = await store.list(prefix, limit=limit, start_after=found[-1] if found else "")
        assert len(page.items) <= limit
        found += [item.key for item in page.items]
        assert page.remaining == len(names) - len(found)
        assert page.more == (page.remaining > 0)
        if not page.more:
            break
    assert found == names


async def test_snapshot_pages_under_writes(store: Storage, prefix: str) -> None:
    keys = [f"{prefix}{number:03}" for number in range(100)]
    for key in keys:
        await store.create(key, b"old")
    first = await store.list(prefix, limit=10)
    done = asyncio.Event()

    async def disturb() -> None:
        for number, key in enumerate(keys):
            item = await store.get(key)
            if number % 3 == 0:
                await store.delete(key, item.mod_revision)
            elif number % 3 == 1:
                await store.update(key, b"new", await store.update(key, b"newer", item.mod_revision))
            else:
                await store.create(key + "-more", b"new")
        removed = await store.create(keys[0], b"back")
        await store.delete(keys[0], removed)
        done.set()

    async def read() -> list[tuple[str, bytes, int]]:
        found = list(first.items)
        while len(found) < 100:
            page = await store.list(prefix, revision=first.revision, limit=7, start_after=found[-1].key)
            assert page.revision == first.revision
            found += page.items
            assert page.remaining == 100 - len(found)
        return [(item.key, item.value) for item in found]

    _, during = await asyncio.gather(disturb(), read())
    assert during == [(key, b"old") for key in keys]
    await done.wait()
    assert await read() == during


async def test_at_every_past_revision(store: Storage, prefix: str) -> None:
    """The list at each revision is the state after that write, in a history with every kind of change."""
    model: dict[str, tuple[bytes, int]] = {}
    history: list[tuple[int, dict[str, tuple[bytes, int]]]] = []
    for step in range(60):
        key = f"{prefix}{(step * 7) % 5}"
        if key not in model:
            model[key] = (str(step).encode(), await store.create(key, str(step).encode()))
        elif step % 3:
            model[key] = (str(step).encode(), await store.update(key, str(step).encode(), model[key][1]))
        else:
            await store.delete(key, model.pop(key)[1])
        history.append((await store.current_revision(), dict(model)))
    for revision, state in history:
        page = await store.list(prefix, revision=revision)
        assert {item.key: (item.value, item.mod_revision) for item in page.items} == state
        assert page.revision == revision


async def test_one_object_at_every_past_revision(store: Storage, prefix: str) -> None:
    before = await store.current_revision()
    first = await store.create(prefix + "a", b"1")
    await store.create(prefix + "ab", b"other")
    second = await store.update(prefix + "a", b"2", first)
    gone = await store.delete(prefix + "a", second)
    again = await store.create(prefix + "a", b"3")
    last = await store.create(prefix + "b", b"other")
    found = [await store.get(prefix + "a", revision=revision) for revision in range(before, last + 1)]
    assert [(item.value, item.mod_revision) if item else None for item in found] == [
        None,
        (b"1", first),
        (b"1", first),
        (b"2", second),
        None,
        (b"3", again),
        (b"3", again),
    ]
    assert store.seen_revision <= await store.current_revision()
    await store.compact(gone)
    assert await store.get(prefix + "a", revision=gone) is None
    with pytest.raises(Compacted):
        await store.get(prefix + "a", revision=second)
    with pytest.raises(FutureRevision):
        await store.get(prefix + "a", revision=await store.current_revision() + 1000)


async def test_the_future_is_refused(store: Storage, prefix: str) -> None:
    with pytest.raises(FutureRevision):
        await store.list(prefix, revision=await store.current_revision() + 1000)


async def test_lists_are_snapshots_while_two_keys_move_together(store: Storage, prefix: str) -> None:
    """b is written only after a, so no snapshot may show b ahead of a."""
    a = await store.create(prefix + "a", b"0")
    b = await store.create(prefix + "b", b"0")
    stop = asyncio.Event()

    async def write() -> None:
        nonlocal a, b
        for number in range(1, 100):
            a = await store.update(prefix + "a", str(number).encode(), a)
            b = await store.update(prefix + "b", str(number).encode(), b)
        stop.set()

    async def read() -> int:
        reads = 0
        while not stop.is_set():
            first, second = (await store.list(prefix)).items
            assert int(first.value) - int(second.value) in (0, 1)
            reads += 1
            await asyncio.sleep(0)
        return reads

    _, reads = await asyncio.gather(write(), read())
    assert reads > 1


async def test_a_mismatch_changes_no_list(store: Storage, prefix: str) -> None:
    revision = await store.create(prefix + "a", b"1")
    with pytest.raises(RevisionMismatch):
        await store.delete(prefix + "a", revision - 1)
    assert len((await store.list(prefix)).items) == 1
