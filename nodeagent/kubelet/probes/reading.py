"""An answer of HTTP/1 as Go's client takes it: lines may end with a bare newline, and an answer's end is where its head
says, for not every server closes the connection when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from apimachinery.meta.go_print import quoted

_BODY_MAX = 10 * 1024
_HEAD_MAX = 1 << 20
_LINE_TOO_LONG = (ValueError, asyncio.LimitOverrunError)
_EMPTY = frozenset({204, 304})


class BadHead(Exception):
    """What came is no head of an answer."""


class BodyProblem(Exception):
    """The body broke off, or did not come in time."""


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """The status and the fields, by name in small letters, the first of each; interim answers are passed over.

    Raises BadHead, OSError.
    """
    while True:
        status = _status(await _line(reader))
        fields: dict[str, str] = {}
        size = 0
        while line := await _line(reader):
            size += len(line)
            if size > _HEAD_MAX:
                raise BadHead("net/http: server response headers exceeded limit")
            name, _, text = line.decode("latin-1").partition(":")
            fields.setdefault(name.strip().lower(), text.strip())
        if status == 101 or status >= 200:
            return status, fields


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line, without its end. Raises BadHead."""
    try:
        line = await reader.readline()
    except _LINE_TOO_LONG:
        raise BadHead("net/http: server response headers exceeded limit") from None
    if not line:
        raise BadHead("EOF")
    return line.rstrip(b"\r\n")


def _status(line: bytes) -> int:
    """Raises BadHead."""
    shown = line.decode("latin-1").encode("unicode_escape").decode().replace('"', '\\"')
    version, space, rest = line.partition(b" ")
    code = rest.lstrip(b" ").partition(b" ")[0]
    if not space:
        problem = f'malformed HTTP response "{shown}"'
    elif len(code) != 3 or not code.isdigit():
        problem = f"malformed HTTP status code {quoted(code.decode('latin-1'))}"
    elif not version.startswith(b"HTTP/"):
        problem = f"malformed HTTP version {quoted(version.decode('latin-1'))}"
    else:
        return int(code)
    raise BadHead(f"net/http: HTTP/1.x transport connection broken: {problem}")


async def read_body(
    reader: asyncio.StreamReader, status: int, fields: Mapping[str, str], deadline: float | None
) -> bytes:
    """The body's beginning. deadline: by the loop's clock. Raises BodyProblem."""
    try:
        async with asyncio.timeout_at(deadline):
            return await _body(reader, status, fields)
    except TimeoutError:
        reason = "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
        raise BodyProblem(reason) from None
    except (asyncio.IncompleteReadError, EOFError):
        raise BodyProblem("unexpected EOF") from None
    except OSError as error:
        raise BodyProblem(str(error)) from None


async def _body(reader: asyncio.StreamReader, status: int, fields: Mapping[str, str]) -> bytes:
    if status in _EMPTY:
        return b""
    if "chunked" in fields.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    length = fields.get("content-length", "")
    if length.isdigit():
        return await reader.readexactly(min(int(length), _BODY_MAX))
    found = b""
    while len(found) < _BODY_MAX and (piece := await reader.read(_BODY_MAX - len(found))):
        found += piece
    return found


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    found = b""
    while len(found) < _BODY_MAX:
        line = await reader.readline()
        if not line:
            raise EOFError
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise BodyProblem("invalid byte in chunk length") from None
        if size <= 0:
            break
        found += await reader.readexactly(min(size, _BODY_MAX - len(found)))
        if len(found) < _BODY_MAX:
            await reader.readline()
    return found
