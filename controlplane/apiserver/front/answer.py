"""The answer that nearly all requests get: bytes of a media type, and a few headers that are always the same.

aiohttp makes a multidict of an answer's headers and serializes it: an eighth of the processor time of a GET. Here the
head is formatted at once. Who looks at or adds a header gets the multidict, and aiohttp's way.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from multidict import CIMultiDict

_REASONS = {413: "Request Entity Too Large", 422: "Unprocessable Entity"}
"""Go's, where Python since 3.13 says something else."""
PRIVATE = "no-cache, private"
"""The Cache-Control of what says nothing else."""


class Answer(web.Response):
    """A response of `data`. status: of HTTP, one that has a body."""

    def __init__(self, data: bytes, media: str, status: int = 200) -> None:
        # In the place of the classes above, which begin with the multidict.
        self._state = {}
        self._set_status(status, _reason(status))
        self._body, self._media = data, media
        self._lines: Mapping[str, str] = {}
        self._identity = ""

    def __getattr__(self, name: str) -> Any:
        if name != "_headers":
            raise AttributeError(name)
        found = CIMultiDict(self._lines)
        found["Content-Type"] = self._media
        if self._identity:
            found["Audit-Id"] = self._identity
        self._headers = found
        return found

    @property
    def plain(self) -> bool:
        """Whether nobody has looked at its headers."""
        return "_headers" not in self.__dict__

    def tell(self, lines: Mapping[str, str], identity: str) -> None:
        """While it is plain: its Audit-Id, of ASCII, which is another for every answer, and headers that are not."""
        self._lines, self._identity = lines, identity

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if (
            not self.plain
            or self.prepared
            or self.keep_alive is False
            or not request.keep_alive
            or request.version != HttpVersion11
            or request.method == "HEAD"
        ):
            return await super().prepare(request)
        self._keep_alive = True
        self._payload_writer = request.writer
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        writer = self._payload_writer
        if not self.plain or writer is None:
            await super().write_eof(data)
            return
        assert isinstance(self._body, bytes)
        head = _head(self.status, self._media, tuple(self._lines.items()))
        date, length = rfc822_formatted_time().encode(), len(self._body)
        await writer.write_eof(
            b"%bDate: %b\r\nAudit-Id: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (head, date, self._identity.encode(), length, self._body)
        )
        self._eof_sent, self._payload_writer = True, None


@lru_cache(maxsize=256)
def _head(status: int, media: str, lines: tuple[tuple[str, str], ...]) -> bytes:
    told = [f"HTTP/1.1 {status} {_reason(status)}", f"Content-Type: {media}"]
    return "\r\n".join([*told, *(f"{name}: {value}" for name, value in lines), ""]).encode()


@lru_cache(maxsize=128)
def _reason(status: int) -> str:
    """What follows the number, in Go's words: also for one that has no name, which a webhook may refuse with."""
    if found := _REASONS.get(status):
        return found
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status code {status}"
