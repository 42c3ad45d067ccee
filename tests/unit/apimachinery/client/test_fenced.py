"""A client that writes only while its process leads."""

from __future__ import annotations

import asyncio

import pytest

from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.client.config import ClientConfig
from apimachinery.client.fenced import FencedClient
from apimachinery.client.rest import ApiUnreachable

NOWHERE = ClientConfig("http://127.0.0.1:1")
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}


@pytest.mark.parametrize(("holds", "sent"), [(True, True), (False, False)])
async def test_a_write_is_sent_only_by_who_holds_the_lease(holds: bool, sent: bool) -> None:
    async with FencedClient(NOWHERE, "test", lambda: holds) as client:
        with pytest.raises(ApiUnreachable) as caught:
            await client.delete(CONFIGMAPS, "a", "default")
        assert ("not sent" not in str(caught.value)) is sent
        with pytest.raises(ApiUnreachable, match=r"connect: connection refused$"):
            await client.get(CONFIGMAPS, "a", "default")


async def test_a_lease_that_ends_while_a_connection_is_made() -> None:
    """It is held when the request is made, and no more when it is about to go. Nothing reaches the server."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = iter([True])
    async with (
        server,
        FencedClient(ClientConfig(f"http://127.0.0.1:{port}"), "test", lambda: next(answers, False)) as client,
    ):
        with pytest.raises(ApiUnreachable):
            await client.create(CONFIGMAPS, CONFIG_MAP, "default")
        assert await heard == b""
