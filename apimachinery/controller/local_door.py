"""A glass box's door on the component's own machine: a socket, for whoever may open the file (its owner).

For a component that no API server can reach, such as one beside the hypervisor. The paths are those of `glassbox`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from apimachinery.client.guarded import BELOW, METHODS, Answer, answering
from apimachinery.meta.status import ApiError

Object = dict[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=45)
_PRIVATE = 0o177  # an umask: nobody but the owner


async def serve(path: Path, answer: Answer, stop: asyncio.Event) -> None:
    """Answer at `path` until `stop` is set; a socket that somebody left there is replaced. Raises OSError."""
    app = web.Application()
    for method in METHODS:
        app.router.add_route(method, BELOW, answering(answer))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2)
    async with AsyncExitStack() as undo:
        await runner.setup()
        undo.push_async_callback(runner.cleanup)
        with _reached(path) as short:
            before = os.umask(_PRIVATE)
            try:
                await web.UnixSite(runner, short).start()
            finally:
                os.umask(before)
        undo.callback(path.unlink, missing_ok=True)
        await stop.wait()


async def ask(path: Path, method: str, below: str, query: Mapping[str, str] | None = None) -> Object:
    """The answer of who serves at `path`. Raises ApiError, what it refuses with; OSError (also TimeoutError): nobody
    answers."""
    try:
        with _reached(path) as short:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(short), timeout=_TIMEOUT) as session,
                session.request(method, f"http://localhost/{below}", params=query or {}) as response,
            ):
                body = await response.read()
    except aiohttp.ClientError as error:  # not each of them is an OSError
        raise ConnectionError(str(error) or type(error).__name__) from None
    if response.status >= 300:
        raise ApiError.from_status(response.status, body)
    found: Object = orjson.loads(body)
    return found


@contextmanager
def _reached(path: Path) -> Iterator[str]:
    """A short path of the same file: a socket's may have 107 bytes (unix(7))."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
