"""Writes: compare-and-swap on one global order of revisions."""

import asyncio

import pytest

from controlplane.apiserver.storage.interface import KeyExists, KeyMissing, RevisionMismatch, Storage, Stored


async def test_create_get(store: Storage, prefix: str) -> None:
    before = await store.current_revision()
    revision = await store.create(prefix + "a", b'{"v":1}')
    assert revision == before + 1
    assert await store.get(prefix + "a") == Stored(prefix + "a", b'{"v":1}', revision)
    assert await store.current_revision() == revision


async def test_get_of_nothing(store: Storage, prefix: str) -> None:
    assert await store.get(prefix + "none") is None


async def test_create_existing_writes_nothing(store: Storage, prefix: str) -> None:
    revision = await store.create(prefix + "a", b"1")
    with pytest.raises(KeyExists) as raised:
        await store.create(prefix + "a", b"2")
    assert raised.value.key == prefix + "a"
    assert await store.get(prefix + "a") == Stored(prefix + "a", b"1", revision)
    assert await store.current_revision() == revision


async def test_update(store: Storage, prefix: str) -> None:
    first = await store.create(prefix + "a", b"1")
    second = await store.update(prefix + "a", b"2", first)
    assert second == first + 1
    assert await store.get(prefix + "a") == Stored(prefix + "a", b"2", second)


async def test_update_of_an_old_version_says_what_is_there(store: Storage, prefix: str) -> None:
    first = await store.create(prefix + "a", b"1")
    second = await store.update(prefix + "a", b"2", first)
    with pytest.raises(RevisionMismatch) as raised:
        await store.update(prefix + "a", b"3", first)
    assert raised.value.current == Stored(prefix + "a", b"2", second)
    assert await store.current_revision() == second


async def test_update_of_nothing(store: Storage, prefix: str) -> None:
    with pytest.raises(KeyMissing):
        await store.update(prefix + "a", b"1", 5)


async def test_delete(store: Storage, prefix: str) -> None:
    first = await store.create(prefix + "a", b"1")
    removed = await store.delete(prefix + "a", first)
    assert removed == first + 1
    assert await store.get(prefix + "a") is None
    with pytest.raises(KeyMissing):
        await store.delete(prefix + "a", first)


async def test_delete_of_an_old_version(store: Storage, prefix: str) -> None:
    first = await store.create(prefix + "a", b"1")
    second = await store.update(prefix + "a", b"2", first)
    with pytest.raises(RevisionMismatch) as raised:
        await store.delete(prefix + "a", first)
    assert raised.value.current == Stored(prefix + "a", b"2", second)


async def test_create_after_delete(store: Storage, prefix: str) -> None:
    removed = await store.delete(prefix + "a", await store.create(prefix + "a", b"1"))
    again = await store.create(prefix + "a", b"2")
    assert again == removed + 1


async def test_values_are_any_bytes(store: Storage, prefix: str) -> None:
    value = bytes(range(256)) * 4096
    await store.create(prefix + "ä/ö", value)
    assert (await store.get(prefix + "ä/ö")).value == value


async def test_concurrent_creates_of_one_key_have_one_winner(store: Storage, prefix: str) -> None:
    outcomes = await asyncio.gather(
        *(store.create(prefix + "a", str(number).encode()) for number in range(50)), return_exceptions=True
    )
    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, int)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, KeyExists) for outcome in outcomes) == 49
    assert (await store.get(prefix + "a")).value == str(winners[0]).encode()


async def test_contended_updates_lose_none(store: Storage, prefix: str) -> None:
    await store.create(prefix + "counter", b"0")
    successes = 0

    async def increment(times: int) -> None:
        nonlocal successes
        current = await store.get(prefix + "counter")
        while times:
            try:
                value = str(int(current.value) + 1).encode()
                revision = await store.update(prefix + "counter", value, current.mod_revision)
                current = Stored(prefix + "counter", value, revision)
                successes += 1
                times -= 1
            except RevisionMismatch as error:
                current = error.current

    await asyncio.gather(*(increment(10) for _ in range(16)))
    assert int((await store.get(prefix + "counter")).value) == successes == 160


async def test_revisions_of_concurrent_writes_are_distinct_and_without_gap(store: Storage, prefix: str) -> None:
    before = await store.current_revision()
    revisions = await asyncio.gather(*(store.create(f"{prefix}{number}", b"x") for number in range(200)))
    assert sorted(revisions) == list(range(before + 1, before + 201))
