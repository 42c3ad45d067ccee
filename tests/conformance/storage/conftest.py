"""The stores under test. Every test of the suite gets `store`, once on SQLite and once on a real etcd."""

import itertools
from collections.abc import AsyncIterator

import pytest

from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.encryption.providers import Provider, Providers
from controlplane.apiserver.encryption.storage import EncryptedStorage
from controlplane.apiserver.storage.etcd import EtcdStorage
from controlplane.apiserver.storage.interface import Storage
from controlplane.apiserver.storage.prefixed import PrefixedStorage
from controlplane.apiserver.storage.sqlite import SqliteStorage

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "etcd", "encrypted", "prefixed"])
async def store(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[Storage]:
    """An open store; etcd's is shared, so tests keep to `prefix` and to revisions they have seen."""
    if request.param == "sqlite":
        opened: Storage = await SqliteStorage.open(tmp_path / "state.db")
    elif request.param == "encrypted":
        providers = {("*", "*"): Providers([Provider.of("aesgcm", "key1", bytes(32))])}
        plain = await SqliteStorage.open(tmp_path / "state.db")
        opened = EncryptedStorage(plain, Reloading("providers", [], lambda: providers))
    elif request.param == "prefixed":
        opened = PrefixedStorage(await SqliteStorage.open(tmp_path / "state.db"), "/clusters/one/")
    else:
        opened = await EtcdStorage.open([request.getfixturevalue("etcd_server").endpoint])
    yield opened
    await opened.close()


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test has used."""
    return f"/registry/example.com/test-{next(_numbers)}/"
