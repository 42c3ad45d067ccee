"""Asking a backend to speak another protocol on the connection: the request, and the answer or the refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from msgspec import Struct
from multidict import CIMultiDict

from apimachinery.meta import status
from controlplane.apiserver.streams.forward import Sent, is_redirect, redirect_refused
from controlplane.apiserver.streams.target import Target

HEAD_MAX = 64 * 1024
BODY_MAX = 1024 * 1024
ANSWER_TIMEOUT = 30.0
"""Seconds for a backend to accept the connection, and again to answer."""


class Refused(Exception):
    """The backend did not change the protocol. `response` is the client's answer; it ends the connection."""

    def __init__(self, response: web.Response) -> None:
        self.response = response
        super().__init__(f"the backend answered {response.status}")


class Upgraded(Struct):
    """A connection after the backend's 101. headers: those of its answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    headers: CIMultiDict[str]


def failure(text: str) -> status.ApiError:
    """500 with nothing but the text, as upstream answers for what is no API error."""
    return status.ApiError(500, "", text)


def request_head(target: Target, sent: Sent) -> bytes:
    """The request as it goes over the wire. Raises ApiError 400 for what would end a line."""
    path = f"{sent.path}?{sent.query}" if sent.query else sent.path
    lines = [f"{sent.method} {path} HTTP/1.1", f"Host: {sent.host or target.authority}"]
    lines += [f"{name}: {value}" for name, value in sent.headers.items() if name.lower() != "host"]
    if sent.method != "GET":
        lines.append("Content-Length: 0")
    if any("\r" in line or "\n" in line for line in lines):
        raise status.bad_request("invalid header field value")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def parse_head(head: bytes) -> tuple[int, CIMultiDict[str]]:
    """(code, headers) of an answer. Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.add(name.strip(), value.strip())
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1."):
        raise ValueError(f"malformed HTTP response {first!r}")
    return int(words[1]), headers


def refused(code: int, headers: CIMultiDict[str], body: bytes) -> web.Response:
    """The backend's refusal, as the client gets it. Not a redirect, and not a success that is none."""
    if is_redirect(code, headers):
        return redirect_refused()
    if code < 400:
        raise failure(f"invalid upgrade response: status code {code}")
    response = web.Response(status=code, body=body)
    response.headers["Content-Type"] = headers.get("Content-Type", "text/plain")
    response.force_close()
    return response


def body_length(headers: CIMultiDict[str]) -> int:
    """How many bytes of a refusal to read at most."""
    length = headers.get("Content-Length", "")
    return min(int(length), BODY_MAX) if length.isdecimal() else BODY_MAX


@asynccontextmanager
async def upgraded(target: Target, sent: Sent) -> AsyncIterator[Upgraded]:
    """The connection once the backend has answered 101; closed at the end. Raises Refused, ApiError 500."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                target.host,
                target.port,
                ssl=target.tls,
                server_hostname=target.server_name or None if target.tls else None,
                limit=HEAD_MAX,
            )
    except (OSError, TimeoutError) as error:
        raise failure(f"error dialing backend: {target.unreachable(error)}") from None
    try:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                writer.write(request_head(target, sent))
                code, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
                body = b"" if code == 101 else await reader.read(body_length(headers))
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
            raise failure(f"error upgrading connection: {error}") from None
        if code != 101:
            raise Refused(refused(code, headers, body))
        yield Upgraded(reader, writer, headers)
    finally:
        writer.close()
