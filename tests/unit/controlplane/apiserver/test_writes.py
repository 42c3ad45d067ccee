"""Creating, changing and deleting on a store: who may, in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import CATALOGUE, CONFIGMAPS
from apimachinery.kit.clock import ManualClock
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.apply import apply
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.create import create
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.registry.update import update
from controlplane.apiserver.storage.sqlite import SqliteStorage
from controlplane.apiserver.strategies.base import Strategy

Object = dict[str, Any]


async def _no_creation(attributes: Attributes) -> tuple[Decision, str]:
    return (Decision.NO_OPINION if attributes.verb == "create" else Decision.ALLOW), ""


async def _all(_: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


LEASES = CATALOGUE.find("coordination.k8s.io", "v1", "leases")
assert LEASES is not None


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    found = await SqliteStorage.open(tmp_path / "store.db")
    yield found
    await found.close()


def collection_of(storage: SqliteStorage, resource: Any) -> Collection:
    return Collection(ObjectStore(resource, storage), Strategy(resource), Chain([]), ManualClock())


async def test_an_update_creates_only_for_those_who_may_create(storage: SqliteStorage) -> None:
    leases = collection_of(storage, LEASES)
    call = Call(User("u"), LEASES, "update", "n", "a", _no_creation)
    with pytest.raises(ApiError) as refused:
        await update(leases, call, {"metadata": {"name": "a"}, "spec": {}})
    sentence = 'User "u" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "n"'
    assert refused.value.code == 403
    assert refused.value.message == f'leases.coordination.k8s.io "a" is forbidden: {sentence}'
    assert await leases.store.find("n", "a") is None


async def test_an_apply_creates_only_for_those_who_may_create(storage: SqliteStorage) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    call = Call(User("u"), CONFIGMAPS, "patch", "n", "a", _no_creation, query={"fieldManager": "m"})
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    with pytest.raises(ApiError) as refused:
        await apply(maps, call, document)
    assert refused.value.code == 403 and 'cannot create resource "configmaps"' in refused.value.message
    assert await maps.store.find("n", "a") is None


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_name_that_is_taken_until_its_end(storage: SqliteStorage, dry_run: bool) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    for name, more in (("kept", {}), ("ending", {"deletionTimestamp": "2026-01-01T00:00:00Z"})):
        meta = {"name": name, "namespace": "n", **more}
        await maps.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    generating = "the server was not able to generate a unique name for the object"
    for meta, sentence in (
        ({"name": "kept"}, 'configmaps "kept" already exists'),
        ({"name": "kept", "generateName": "k"}, f'configmaps "kept" already exists, {generating}'),
        ({"name": "ending"}, 'object is being deleted: configmaps "ending" already exists'),
    ):
        call = Call(User("u"), CONFIGMAPS, "create", "n", "", _all, dry_run=dry_run)
        with pytest.raises(ApiError) as refused:
            await create(maps, call, {"metadata": meta})
        assert (refused.value.reason, refused.value.message) == ("AlreadyExists", sentence)
