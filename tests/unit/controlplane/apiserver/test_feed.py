"""A feed tells its followers of every object, and of what is gone, over a store that is really there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.api.catalogue import CLUSTERROLES, ROLES
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.storage.sqlite import SqliteStorage


def role(name: str, namespace: str = "", rules: int = 0) -> bytes:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return orjson.dumps({"kind": "Role", "metadata": metadata, "rules": [{}] * rules})


class Follower:
    """What it was told; `about` waits until a word about an object has come."""

    def __init__(self) -> None:
        self.words: list[tuple[str, dict[str, Any]]] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, obj: dict[str, Any]) -> None:
        self._say("put", obj)

    def drop(self, obj: dict[str, Any]) -> None:
        self._say("drop", obj)

    def _say(self, word: str, obj: dict[str, Any]) -> None:
        self.words.append((word, obj))
        task = asyncio.ensure_future(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def count(self, number: int) -> list[tuple[str, str]]:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.words) >= number)
        return [(word, obj["metadata"]["name"]) for word, obj in self.words]


async def test_followers_are_told_of_what_is_there_what_changes_and_what_goes(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "store.db")
    first = await storage.create("/registry/roles/a/one", role("one", "a"))
    early, late = Follower(), Follower()
    feed = Feed(storage, ROLES, early.put, early.drop)
    feed.also(late.put, late.drop)
    running = asyncio.create_task(feed.run())
    async with asyncio.timeout(5):
        await feed.synced.wait()
    second = await storage.update("/registry/roles/a/one", role("one", "a", rules=2), first)
    await storage.create("/registry/roles/b/two", role("two", "b"))
    await storage.delete("/registry/roles/a/one", second)
    expected = [("put", "one"), ("put", "one"), ("put", "two"), ("drop", "one")]
    assert await early.count(4) == await late.count(4) == expected
    assert early.words[1][1]["rules"] == [{}, {}]
    assert early.words[3][1] == {"kind": "Role", "metadata": {"name": "one", "namespace": "a"}}
    await cancel_and_wait(running)
    await storage.close()


async def test_a_feed_that_starts_again_tells_only_what_has_changed_meanwhile(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "store.db")
    kept = await storage.create("/registry/clusterroles/kept", role("kept"))
    changed = await storage.create("/registry/clusterroles/changed", role("changed"))
    gone = await storage.create("/registry/clusterroles/gone", role("gone"))
    follower = Follower()
    feed = Feed(storage, CLUSTERROLES, follower.put, follower.drop)
    running = asyncio.create_task(feed.run())
    await follower.count(3)
    await cancel_and_wait(running)
    follower.words.clear()
    await storage.update("/registry/clusterroles/changed", role("changed", rules=1), changed)
    await storage.delete("/registry/clusterroles/gone", gone)
    running = asyncio.create_task(feed.run())
    assert await follower.count(2) == [("drop", "gone"), ("put", "changed")]
    assert follower.words[0][1] == {"kind": "ClusterRole", "metadata": {"name": "gone"}}
    stored = await storage.get("/registry/clusterroles/kept")
    assert stored is not None and stored.mod_revision == kept
    await cancel_and_wait(running)
    await storage.close()


async def test_who_stumbles_over_one_object_hears_of_all_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = await SqliteStorage.open(tmp_path / "store.db")
    await storage.create("/registry/roles/a/odd", role("odd", "a"))
    await storage.create("/registry/roles/a/unreadable", b"k8s:enc:")
    steady, clumsy = Follower(), Follower()

    def stumble(obj: dict[str, Any]) -> None:
        if obj["metadata"]["name"] == "odd":
            raise KeyError("spec")
        clumsy.put(obj)

    feed = Feed(storage, ROLES, stumble, clumsy.drop)
    feed.also(steady.put, steady.drop)
    running = asyncio.create_task(feed.run())
    await storage.create("/registry/roles/a/usual", role("usual", "a"))
    assert await steady.count(2) == [("put", "odd"), ("put", "usual")]
    assert await clumsy.count(1) == [("put", "usual")]
    assert "what is stored as /registry/roles/a/unreadable cannot be read" in caplog.text
    assert "/registry/roles/a/odd was not taken note of" in caplog.text
    await cancel_and_wait(running)
    await storage.close()


async def test_what_counts_as_a_whole_waits_for_what_cannot_be_read(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "store.db")
    await storage.create("/registry/roles/a/early", role("early", "a"))
    unreadable = await storage.create("/registry/roles/a/unreadable", b"k8s:enc:")
    follower = Follower()
    feed = Feed(storage, ROLES, follower.put, follower.drop, whole=True)
    running = asyncio.create_task(feed.run())
    assert await follower.count(1) == [("put", "early")]
    assert not feed.synced.is_set()
    await storage.update("/registry/roles/a/unreadable", role("unreadable", "a"), unreadable)
    async with asyncio.timeout(60):
        await feed.synced.wait()
    assert await follower.count(2) == [("put", "early"), ("put", "unreadable")]
    await cancel_and_wait(running)
    await storage.close()


async def test_what_does_not_concern_a_feed_is_dropped_and_never_put(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "store.db")
    quiet = await storage.create("/registry/roles/a/quiet", role("quiet", "a"))
    loud = await storage.create("/registry/roles/a/loud", role("loud", "a", rules=1))
    follower = Follower()
    feed = Feed(storage, ROLES, follower.put, follower.drop, lambda value: b'"rules":[{' in value)
    running = asyncio.create_task(feed.run())
    assert await follower.count(1) == [("put", "loud")]
    silenced = await storage.update("/registry/roles/a/loud", role("loud", "a"), loud)
    assert await follower.count(2) == [("put", "loud"), ("drop", "loud")]
    risen = await storage.update("/registry/roles/a/quiet", role("quiet", "a", rules=1), quiet)
    assert (await follower.count(3))[2:] == [("put", "quiet")]
    await cancel_and_wait(running)
    # Made anew, by the same name, while nobody followed: what was told of the one before does not stay.
    await storage.delete("/registry/roles/a/quiet", risen)
    await storage.create("/registry/roles/a/quiet", role("quiet", "a"))
    await storage.delete("/registry/roles/a/loud", silenced)
    running = asyncio.create_task(feed.run())
    told = (await follower.count(5))[3:]
    assert told == [("drop", "loud"), ("drop", "quiet")]
    await cancel_and_wait(running)
    await storage.close()
