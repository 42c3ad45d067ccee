"""The answer to a list: sent in portions from the bytes that the watch cache holds, never one copy of everything.

A list of ten thousand pods is 45 MB; joined, and encrypted behind it, that would be 90 MB and half a second in which
nobody else is served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from apimachinery.api.catalogue import Resource
from apimachinery.kit import go_json
from controlplane.apiserver.audit.trail import trail_of
from controlplane.apiserver.front import responses
from controlplane.apiserver.front.negotiate import JSON, PROTOBUF, Accepted
from controlplane.apiserver.front.shapes import partial, untyped
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted_all, served_as_stored
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.registry.read import Listed
from controlplane.apiserver.tables.render import Tables

Pieces = Sequence[bytes | memoryview]

PORTION = 128 * 1024
"""Bytes that are put together, encrypted and handed to the connection at once."""
STREAMED_MIN = 256 * 1024
"""Bytes from which on a list is sent in portions."""
_DECODED = 50  # objects decoded before others get a turn


async def answer(
    request: web.BaseRequest, call: Call, collection: Collection, listed: Listed, wanted: Accepted, tables: Tables
) -> web.Response:
    """The list in the form that was asked for. Raises ApiError when a webhook does not convert what it should."""
    resource, metadata = call.resource, listed.metadata()
    items: Sequence[bytes] = [entry.served for entry in listed.page.entries]
    if wanted.kind == "Table":
        return await _table(request, call, items, metadata, wanted, tables)
    if wanted.media == PROTOBUF:
        return await _protobuf(request, call, collection, items, metadata, wanted)
    kind, version = resource.list_kind, resource.api_version
    if wanted.kind:
        kind, version = "PartialObjectMetadataList", f"meta.k8s.io/{wanted.version}"
        items = await _partial(items, wanted.version)
    elif not served_as_stored(resource, collection.resource):
        objects = await converted_all([orjson.loads(item) for item in items], resource)
        items = [go_json.encode(obj) for obj in objects]
    head = go_json.encode({"kind": kind, "apiVersion": version, "metadata": metadata})
    start = head[:-1] + b',"items":['
    if items and not wanted.kind and not isinstance(resource, DefinedResource):
        return joined(request, start + b"{", _untyped(items, resource), b"]}", wanted.media, b",{")
    return joined(request, start, items, b"]}", wanted.media)


def _untyped(items: Sequence[bytes], resource: Resource) -> list[bytes | memoryview]:
    """The items after their opening brace, without apiVersion and kind, which the list's own say (Go's typed lists;
    items of defined kinds name theirs). Objects are stored with both in front: what is left is shown, not copied, which
    costs a quarter of joining the items."""
    typed = orjson.dumps({"apiVersion": resource.api_version, "kind": resource.kind})[:-1] + b","
    begin = len(typed)
    return [memoryview(item)[begin:] if item.startswith(typed) else _without_type(item)[1:] for item in items]


def _without_type(item: bytes) -> bytes:
    return go_json.encode(untyped(orjson.loads(item)))


async def _table(
    request: web.BaseRequest, call: Call, items: Sequence[bytes], metadata: object, wanted: Accepted, tables: Tables
) -> web.Response:
    include = call.query.get("includeObject", "")
    rows: list[bytes] = []
    step = len(items) or 1 if tables.ordered(call.resource) else _DECODED
    table = tables.table(call.resource, [], wanted.version, include)
    for begin in range(0, len(items), step):
        objects = await converted_all([orjson.loads(item) for item in items[begin : begin + step]], call.resource)
        found = tables.table(call.resource, objects, wanted.version, include)["rows"]
        rows += [go_json.encode(row) for row in found]
        await asyncio.sleep(0)
    del table["rows"]
    head = go_json.encode({**table, "metadata": metadata})
    return joined(request, head[:-1] + b',"rows":[', rows, b"]}", wanted.media)


async def _protobuf(
    request: web.BaseRequest,
    call: Call,
    collection: Collection,
    items: Sequence[bytes],
    metadata: Mapping[str, Any],
    wanted: Accepted,
) -> web.Response:
    from controlplane.apiserver.front import protobuf_encode  # its tables cost 10 ms, which few clients need

    resource = call.resource
    version, kind, item_kind = resource.api_version, resource.list_kind, resource.kind
    if wanted.kind:
        version, kind, item_kind = f"meta.k8s.io/{wanted.version}", wanted.kind, wanted.kind.removesuffix("List")
    write = protobuf_encode.item(version, item_kind)
    as_stored = bool(wanted.kind) or served_as_stored(resource, collection.resource)
    audited = trail_of(request) is not None
    written: list[bytes] = []
    shown: list[Any] = []
    for begin in range(0, len(items), _DECODED):
        objects = [orjson.loads(item) for item in items[begin : begin + _DECODED]]
        if not as_stored:
            objects = await converted_all(objects, resource)
        written += [write(obj) for obj in objects]
        if audited:
            shown += [partial(obj, wanted.version) for obj in objects] if wanted.kind else objects
        await asyncio.sleep(0)
    head, tail = protobuf_encode.list_head(version, kind, metadata, sum(map(len, written)))
    response = _whole(request, Joined(head, written, tail, b"", PROTOBUF))
    if audited:
        response[responses.SAID] = {"kind": kind, "apiVersion": version, "metadata": metadata, "items": shown}
    return response


async def _partial(items: Sequence[bytes], version: str) -> list[bytes]:
    found: list[bytes] = []
    for begin in range(0, len(items), _DECODED):
        found += [go_json.encode(partial(orjson.loads(item), version)) for item in items[begin : begin + _DECODED]]
        await asyncio.sleep(0)
    return found


def joined(
    request: web.BaseRequest, head: bytes, items: Pieces, tail: bytes, media: str, separator: bytes = b","
) -> web.Response:
    """`head`, the items with `separator` between them, `tail`; in portions when it is much and sent as it is."""
    body = Joined(head, items, tail + b"\n", separator)
    assert body.size is not None
    audited = trail_of(request) is not None  # the log may want all of it
    if body.size < STREAMED_MIN or audited or not responses.sent_as_is(request, media):
        return responses.body(request, head + separator.join(items) + tail, media=media)
    return _whole(request, body)


def _whole(request: web.BaseRequest, body: Joined) -> web.Response:
    if (body.size or 0) > responses.GZIP_MIN and responses.packs(request):
        response = web.Response(body=Packed(body))
        responses.packed(response)
    else:
        response = web.Response(body=body)
    response.content_type = body.media
    return response


class Joined(Payload):
    """A body of many pieces, which are shared with others until they are sent."""

    def __init__(self, head: bytes, items: Pieces, tail: bytes, separator: bytes = b",", media: str = JSON) -> None:
        super().__init__(None, content_type=media)
        self.media = media
        self._head, self._items, self._tail, self._separator = head, items, tail, separator
        between = max(0, len(items) - 1) * len(separator)
        self._size = len(head) + sum(map(len, items)) + between + len(tail)

    def portions(self) -> Iterator[bytes]:
        """The whole, in pieces of about PORTION bytes."""
        pieces: list[bytes | memoryview] = [self._head]
        size, separator = 0, b""
        for item in self._items:
            pieces += (separator, item)
            separator, size = self._separator, size + len(item)
            if size >= PORTION:
                yield b"".join(pieces)
                pieces, size = [], 0
        pieces.append(self._tail)
        yield b"".join(pieces)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self.portions()).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for portion in self.portions():
            await writer.write(portion)
            await asyncio.sleep(0)


class Packed(Payload):
    """The same, compressed on its way."""

    def __init__(self, body: Joined) -> None:
        super().__init__(None, content_type=body.media)
        self._body = body

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        packer = responses.packer()
        for portion in self._body.portions():
            if data := packer.compress(portion):
                await writer.write(data)
            await asyncio.sleep(0)
        await writer.write(packer.flush())
