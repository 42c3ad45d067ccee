"""A front that serves anybody, on loopback, for tests of what clients see of it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from apimachinery.kit import tls
from apimachinery.kit.certs import Authority
from controlplane.apiserver.authn.user import ANONYMOUS, User
from controlplane.apiserver.authz.union import AlwaysAllow, Named, Union
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.server import Front


class _Nobody:
    async def authenticate(self, *_: object) -> User:
        return ANONYMOUS


async def _route(_: web.BaseRequest, __: RequestInfo, ___: User) -> web.StreamResponse:
    return web.Response(text="fine")


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = Authority.create("test")
    pair = authority.issue("server", ips=["127.0.0.1"], server=True)
    for name, data in (("crt", pair.cert_pem), ("key", pair.key_pem)):
        (tmp_path / name).write_bytes(data)
    return tls.server_context(tmp_path / "crt", tmp_path / "key"), tls.client_context(authority.pair.cert_pem)


@asynccontextmanager
async def serving(context: ssl.SSLContext, port: int = 0, **options: Any) -> AsyncIterator[int]:
    """Its port. options: of Front, and: route; share (the port); deadlines (in the place of its own); authorizer."""
    async with door(context, port, **options) as (_, found):
        yield found


@asynccontextmanager
async def door(context: ssl.SSLContext, port: int = 0, **options: Any) -> AsyncIterator[tuple[Front, int]]:
    """The same, with the front itself."""
    share, route = options.pop("share", False), options.pop("route", _route)
    deadlines = options.pop("deadlines", None)
    decides = Union([Named("One", "one", options.pop("authorizer", AlwaysAllow()))])
    front = Front(route, cast("Any", _Nobody()), decides, **options)
    front._deadlines = deadlines or front._deadlines
    yield front, await front.start("127.0.0.1", port, context, share=share)
    await front.stop()
