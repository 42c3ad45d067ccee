"""A change begins with what the watch cache has; when that is behind, nothing goes wrong and nothing is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.kit.clock import ManualClock
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.race import Raced, begin_change
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.storage.sqlite import SqliteStorage
from controlplane.apiserver.strategies.base import Strategy

Object = dict[str, Any]


async def _yes(_: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


CALL = Call(User("u"), CONFIGMAPS, "update", "n", "a", _yes)


@pytest.fixture
async def collection(tmp_path: Path) -> AsyncIterator[Collection]:
    """With one object, seen by a cache that sees nothing more."""
    storage = await SqliteStorage.open(tmp_path / "store.db")
    store = ObjectStore(CONFIGMAPS, storage)
    meta = {"name": "a", "namespace": "n"}
    await store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": "1"}})
    made = Collection(store, Strategy(CONFIGMAPS), Chain([]), ManualClock())
    await made.cache.wait_ready()
    await made.cache.close()
    yield made
    await storage.close()


class Attempts:
    """Sets the value, unless it is there already or is one of `refused`; what it was given, in order."""

    def __init__(self, collection: Collection, value: str, refused: str = "") -> None:
        self._collection, self._value, self._refused = collection, value, refused
        self.given: list[str] = []

    async def __call__(self, current: Object) -> tuple[Object, bool]:
        value = current["data"]["value"]
        self.given.append(value)
        if value == self._refused:
            raise status.bad_request("refused")
        try:
            return await self._collection.store.replace({**current, "data": {"value": self._value}}, current), False
        except status.ApiError as error:
            raise Raced(error) from None


async def _written(collection: Collection, value: str) -> None:
    current = await collection.store.get("n", "a")
    await collection.store.replace({**current, "data": {"value": value}}, current)


async def _value(collection: Collection) -> str:
    return str((await collection.store.get("n", "a"))["data"]["value"])


async def test_memory_suffices_when_it_is_right(collection: Collection) -> None:
    attempts = Attempts(collection, "2")
    obj, gone = await begin_change(collection, CALL, "a", attempts, 3)
    assert (obj["data"]["value"], gone, attempts.given, await _value(collection)) == ("2", False, ["1"], "2")


async def test_what_is_behind_is_not_written_over(collection: Collection) -> None:
    await _written(collection, "other")
    attempts = Attempts(collection, "2")
    await begin_change(collection, CALL, "a", attempts, 3)
    assert attempts.given == ["1", "other"]
    assert await _value(collection) == "2"


async def test_nothing_to_do_is_said_of_the_newest_version_only(collection: Collection) -> None:
    await _written(collection, "other")
    attempts = Attempts(collection, "1")
    await begin_change(collection, CALL, "a", attempts, 3)
    assert attempts.given == ["1", "other"]
    assert await _value(collection) == "1"


async def test_a_refusal_is_repeated_for_another_version_only(collection: Collection) -> None:
    attempts = Attempts(collection, "2", refused="1")
    with pytest.raises(status.ApiError, match="refused"):
        await begin_change(collection, CALL, "a", attempts, 3)
    assert attempts.given == ["1"]
    await _written(collection, "other")
    attempts = Attempts(collection, "2", refused="1")
    await begin_change(collection, CALL, "a", attempts, 3)
    assert attempts.given == ["1", "other"]


async def test_what_is_gone_is_gone(collection: Collection) -> None:
    await collection.store.remove(await collection.store.get("n", "a"))
    with pytest.raises(status.ApiError) as missing:
        await begin_change(collection, CALL, "a", Attempts(collection, "2"), 3)
    assert missing.value.code == 404


async def test_a_dry_run_looks_at_the_store(collection: Collection) -> None:
    await _written(collection, "other")
    attempts = Attempts(collection, "2")
    dry = Call(User("u"), CONFIGMAPS, "update", "n", "a", _yes, dry_run=True)
    await begin_change(collection, dry, "a", attempts, 3)
    assert attempts.given == ["other"]
