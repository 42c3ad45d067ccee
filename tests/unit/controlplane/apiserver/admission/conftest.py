"""The real embedded store, where plug-ins look things up."""

import pytest

from controlplane.apiserver.storage.sqlite import SqliteStorage
from tests.unit.controlplane.apiserver.admission.webhook_server import webhook_server


@pytest.fixture
async def storage(tmp_path):
    store = await SqliteStorage.open(tmp_path / "store.db")
    yield store
    await store.close()


@pytest.fixture
async def server(tmp_path):
    async with webhook_server(tmp_path) as served:
        yield served
