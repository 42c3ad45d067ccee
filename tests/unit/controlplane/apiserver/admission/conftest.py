"""The real embedded store, where plug-ins look things up."""

import pytest

from controlplane.apiserver.storage.sqlite import SqliteStorage


@pytest.fixture
async def storage(tmp_path):
    store = await SqliteStorage.open(tmp_path / "store.db")
    yield store
    await store.close()
