"""A list is sent in portions, and is the same bytes as if it were sent at once."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping

import aiohttp
import orjson
import pytest
from aiohttp import web

from controlplane.apiserver.front.lists import PORTION, Joined, joined

_HEAD, _TAIL = b'{"kind":"PodList","items":[', b"]}"


def items(count: int, size: int = 2000) -> list[bytes]:
    return [b'{"n":%d,"x":"%b"}' % (number, b"x" * size) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_the_portions_are_the_document(count: int) -> None:
    pieces = items(count)
    body = Joined(_HEAD, pieces, _TAIL)
    portions = list(body.portions())
    assert b"".join(portions) == _HEAD + b",".join(pieces) + _TAIL
    assert body.size == sum(map(len, portions))
    assert max(map(len, portions)) < PORTION + 2 * 2048
    assert len(orjson.loads(b"".join(portions))["items"]) == count


async def fetched(pieces: list[bytes], headers: Mapping[str, str]) -> tuple[Mapping[str, str], bytes]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return joined(request, _HEAD, pieces, _TAIL, "application/json")

    server = web.Server(handle)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            url = f"http://127.0.0.1:{port}/"
            async with session.get(url, headers={"Accept-Encoding": "identity", **headers}) as answer:
                return answer.headers, await answer.read()
    finally:
        listener.close()
        await server.shutdown(1)


async def test_a_long_list_says_its_length() -> None:
    pieces = items(1000)
    headers, body = await fetched(pieces, {})
    assert body == _HEAD + b",".join(pieces) + _TAIL + b"\n"
    assert headers["Content-Length"] == str(len(body)) and headers["Content-Type"] == "application/json"


async def test_a_long_list_is_compressed_on_its_way() -> None:
    pieces = items(1000)
    headers, body = await fetched(pieces, {"Accept-Encoding": "gzip"})
    assert gzip.decompress(body) == _HEAD + b",".join(pieces) + _TAIL + b"\n"
    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert "Content-Length" not in headers


async def test_who_wants_it_indented_gets_it_indented() -> None:
    _, body = await fetched(items(1000), {"User-Agent": "curl/8"})
    assert body.startswith(b"{\n  ") and len(orjson.loads(body)["items"]) == 1000
