"""Events are forgotten after --event-ttl, and whoever watches is told (SQLite: by its own clock, etcd: by a lease)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.api.catalogue import CONFIGMAPS, EVENTS, NEW_EVENTS, Resource
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import Client
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from tests.integration.apiservers import ApiServer
from tests.integration.process import running_etcd

WITHIN = 120.0  # seconds a test waits for what takes three


@pytest.fixture(params=["sqlite", "etcd"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ApiServer]:
    with contextlib.ExitStack() as undo:
        store = "sqlite" if request.param == "sqlite" else undo.enter_context(running_etcd(tmp_path / "etcd"))
        server = ApiServer(tmp_path / "data", store, "--event-ttl=2s")
        server.start()
        undo.callback(server.stop)
        yield server


async def seen(client: Client, resource: Resource, version: str) -> list[tuple[str, str, int]]:
    """What a watch from `version` tells of the Event `old`, until it is deleted: type, name, revision."""
    found = []
    async for event in client.watch(resource, "default", resource_version=version, bookmarks=False):
        found.append((event.type, objects.name(event.object), int(objects.resource_version(event.object))))
        if event.type == "DELETED":
            return found
    raise AssertionError(f"the watch ended: {found}")


async def test_an_event_goes_and_watchers_are_told(server: ApiServer) -> None:
    async with Client(load_kubeconfig(server.kubeconfig), "tests") as client:
        version = (await client.list(EVENTS, "default"))["metadata"]["resourceVersion"]
        old = {"metadata": {"name": "old"}, "involvedObject": {"kind": "Pod", "name": "web", "namespace": "default"}}
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
            watches = [group.create_task(seen(client, resource, version)) for resource in (EVENTS, NEW_EVENTS)]
            await client.create(CONFIGMAPS, {"metadata": {"name": "stays"}}, "default")
            made = await client.create(EVENTS, {**old, "reason": "Tested", "type": "Normal"}, "default")
        for watch in watches:
            (added, *_, deleted) = watch.result()
            assert added == ("ADDED", "old", int(objects.resource_version(made)))
            assert deleted[:2] == ("DELETED", "old")
            assert deleted[2] > added[2], "a deletion has a revision of its own"
        with pytest.raises(ApiError) as refused:
            await client.get(EVENTS, "old", "default")
        assert is_not_found(refused.value)
        assert (await client.list(EVENTS, "default"))["items"] == []
        await client.get(CONFIGMAPS, "stays", "default")
