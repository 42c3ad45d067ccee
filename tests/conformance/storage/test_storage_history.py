"""Compaction, expiry and restarts."""

import asyncio

import pytest

from controlplane.apiserver.storage.interface import ChangeType, Compacted, FutureRevision, Storage, Unavailable
from controlplane.apiserver.storage.sqlite import SqliteStorage
from tests.conformance.storage.watch_reading import take, take_until


async def test_compaction_ends_history_and_keeps_the_present(store: Storage, prefix: str) -> None:
    before = await store.current_revision()
    first = await store.create(prefix + "a", b"1")
    second = await store.update(prefix + "a", b"2", first)
    gone = await store.create(prefix + "b", b"1")
    removed = await store.delete(prefix + "b", gone)
    last = await store.update(prefix + "a", b"3", second)
    await store.compact(removed)
    with pytest.raises(Compacted):
        await store.list(prefix, revision=gone)
    for too_old in (before, gone):
        async with store.watch(prefix, too_old) as watch:
            with pytest.raises(Compacted):
                async with asyncio.timeout(60):
                    await anext(watch)
    assert [item.value for item in (await store.list(prefix, revision=removed)).items] == [b"2"]
    assert [item.value for item in (await store.list(prefix)).items] == [b"3"]
    async with store.watch(prefix, removed) as watch:
        assert [(change.revision, change.prev_value) for change in await take_until(watch, last)] == [(last, b"2")]


async def test_compaction_of_everything_and_again(store: Storage, prefix: str) -> None:
    created = await store.create(prefix + "a", b"1")
    removed = await store.delete(prefix + "a", created)
    await store.compact(removed)
    await store.compact(removed)
    await store.compact(created)
    assert (await store.list(prefix)).revision == removed
    async with store.watch(prefix, removed) as watch:
        again = await store.create(prefix + "a", b"2")
        assert again == removed + 1
        assert [(change.type, change.revision) for change in await take(watch, 1)] == [(ChangeType.CREATE, again)]


async def test_compaction_of_a_long_history(store: Storage, prefix: str) -> None:
    revision = await store.create(prefix + "a", b"0")
    others = [await store.create(f"{prefix}b/{number}", b"x") for number in range(5)]
    for number in range(1000):
        revision = await store.update(prefix + "a", str(number).encode(), revision)
    await store.compact(revision)
    page = await store.list(prefix, revision=revision)
    assert [(item.value, item.mod_revision) for item in page.items] == [
        (b"999", revision),
        *((b"x", other) for other in others),
    ]


async def test_compaction_of_the_future_is_refused(store: Storage) -> None:
    with pytest.raises(FutureRevision):
        await store.compact(await store.current_revision() + 1000)


async def test_expiry_is_a_deletion_like_any_other(store: Storage, prefix: str) -> None:
    start = await store.current_revision()
    await store.create(prefix + "stays", b"1")
    kept = await store.create(prefix + "kept", b"1", ttl=1)
    await store.update(prefix + "kept", b"2", kept)
    await store.create(prefix + "goes", b"1", ttl=1)
    async with store.watch(prefix, start) as watch:
        changes = await take(watch, 5)
    assert changes[-1].type is ChangeType.DELETE
    assert (changes[-1].key, changes[-1].prev_value) == (prefix + "goes", b"1")
    assert changes[-1].revision == changes[-2].revision + 1
    assert [item.key for item in (await store.list(prefix)).items] == [prefix + "kept", prefix + "stays"]


async def test_sqlite_restart_keeps_data_and_revision(tmp_path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStorage.open(path)
    first = await store.create("/registry/a/x", b"1")
    second = await store.create("/registry/a/y", b"2")
    removed = await store.delete("/registry/a/y", second)
    await store.close()

    store = await SqliteStorage.open(path)
    assert await store.current_revision() == removed
    assert [(item.value, item.mod_revision) for item in (await store.list("/registry/a/")).items] == [(b"1", first)]
    async with store.watch("/registry/a/", first) as watch:
        assert [change.revision for change in await take_until(watch, removed)] == [second, removed]
    await store.compact(removed)
    await store.close()

    store = await SqliteStorage.open(path)
    assert await store.current_revision() == removed
    with pytest.raises(Compacted):
        await store.list("/registry/a/", revision=first)
    assert await store.create("/registry/a/z", b"3") == removed + 1
    await store.close()


async def test_sqlite_file_belongs_to_one(tmp_path) -> None:
    store = await SqliteStorage.open(tmp_path / "state.db")
    with pytest.raises(Unavailable, match="in use"):
        await SqliteStorage.open(tmp_path / "state.db")
    await store.close()
    await (await SqliteStorage.open(tmp_path / "state.db")).close()


async def test_sqlite_in_a_missing_directory(tmp_path) -> None:
    with pytest.raises(Unavailable, match="No such file or directory"):
        await SqliteStorage.open(tmp_path / "none" / "state.db")
