"""Plain HTTP handed on: one request to a backend, its answer streamed back. Redirects are never followed.

Neither body is held in memory: each side is read as fast as the other takes. HTML whose links must be changed is the
exception, as upstream.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web
from msgspec import Struct
from multidict import CIMultiDict

from apimachinery.meta import status
from controlplane.apiserver.audit import trail
from controlplane.apiserver.streams.headers import response_headers
from controlplane.apiserver.streams.rewrite import Rewriting
from controlplane.apiserver.streams.target import Target

Answered = Callable[[web.BaseRequest, aiohttp.ClientResponse, CIMultiDict[str]], Awaitable[web.StreamResponse]]

_CONNECT_TIMEOUT = 30.0  # upstream's dialer
_REFUSAL_MAX = 2000  # bytes of a refusal's text that are passed on
_PAGE_MAX = 16 * 1024 * 1024  # bytes of HTML whose links are rewritten; a larger page passes as it is
_NO_REDIRECTS = "the backend attempted to redirect this request, which is not permitted"


class Unreachable(Exception):
    """No answer came. The text says why, as Go's net package would."""


class Sent(Struct, frozen=True):
    """A request as it goes to the backend. path and query: encoded. host: the Host header, "" for the backend's own."""

    method: str
    path: str
    query: str
    headers: CIMultiDict[str]
    host: str = ""


def is_redirect(code: int, headers: Mapping[str, str]) -> bool:
    """Whether a client would go elsewhere by it."""
    return 300 <= code < 400 and "Location" in headers


def redirect_refused() -> web.Response:
    """What the client gets in place of a redirect; the connection ends with it."""
    response = web.Response(status=502, text=_NO_REDIRECTS)
    response.force_close()
    return response


def refusal(code: int, text: str, kind: str, name: str) -> status.ApiError:
    """A backend's refusal as a client is told of it (registry/generic/rest: GenericHttpResponseChecker). kind, name:
    what the client asked for."""
    if code == 500:
        return status.internal(text)
    if code == 400:
        return status.bad_request(text)
    error = status.ApiError.from_status(code, text)
    return status.ApiError(code, error.reason, f"{error.message} ( {kind} {name})", {"kind": kind, "name": name})


class Forwarder:
    """Hands requests on over connections that it keeps; `close` ends them."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End every connection to a backend."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, target: Target, sent: Sent, body: AsyncIterator[bytes] | None = None) -> aiohttp.ClientResponse:
        """The answer, its body unread; close it. Raises Unreachable."""
        if self._session is None:
            # Kept connections are bounded, busy ones are not: every request upstream is bounded by its client.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=90, ttl_dns_cache=10)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            )
        headers = sent.headers.copy()
        headers["Host"] = sent.host or target.authority
        try:
            return await self._session.request(
                sent.method,
                target.url(sent.path, sent.query),
                headers=headers,
                data=body,
                ssl=target.tls or False,
                server_hostname=target.server_name or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(target.unreachable(error)) from None

    async def forward(
        self,
        request: web.BaseRequest,
        target: Target,
        sent: Sent,
        *,
        checked: tuple[str, str] | None = None,
        rewriting: Rewriting | None = None,
        redirects: Callable[[str], bool] | None = None,
        answer_within: float | None = None,
        answered: Answered | None = None,
    ) -> web.StreamResponse:
        """Hand the request on and its answer back.

        checked: (kind, name) of what is asked for, whose refusals (codes outside 200 to 206) are raised as ApiError.
        rewriting: links of HTML pages and Location headers are led back through the proxy.
        redirects: says of a Location whether it is passed to the client; other redirects are answered with 502.
        answer_within: seconds until the answer must have begun.
        answered: hands the answer on in another form than HTTP's.
        Raises Unreachable, ApiError.
        """
        try:
            async with asyncio.timeout(answer_within):
                answer = await self.ask(target, sent, _body(request) if request.body_exists else None)
        except TimeoutError:
            raise Unreachable("context deadline exceeded") from None
        async with answer:
            led_on = is_redirect(answer.status, answer.headers)
            if led_on and (redirects is None or not redirects(answer.headers["Location"])):
                return redirect_refused()
            if checked is not None and not 200 <= answer.status <= 206:
                text = (await answer.content.read(_REFUSAL_MAX)).decode(errors="replace")
                raise refusal(answer.status, text.strip(), *checked)
            headers = response_headers(answer.headers)
            if answered is not None:
                return await answered(request, answer, headers)
            if rewriting is not None and "Location" in headers:
                headers["Location"] = rewriting.link(headers["Location"])
            elif rewriting is not None and answer.content_type == "text/html" and request.method != "HEAD":
                return await _page(request, answer, headers, rewriting)
            return await _stream(request, answer, headers)


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


async def _stream(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: CIMultiDict[str], begun: bytes = b""
) -> web.StreamResponse:
    length = headers.pop("Content-Length", None)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    if length is not None and length.isdecimal():
        response.content_length = int(length)
    await response.prepare(request)
    trail.begun(request, response.status)
    try:
        if begun:
            await response.write(begun)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except aiohttp.ClientPayloadError:
        # The backend broke off: so must we, or the client would take half an answer for a whole one.
        if request.transport is not None:
            request.transport.close()
    except ConnectionResetError:
        pass  # the client has gone, and nobody is left to be told
    return response


async def _page(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: CIMultiDict[str], rewriting: Rewriting
) -> web.StreamResponse:
    data = b""
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > _PAGE_MAX:
            return await _stream(request, answer, headers, data)
    headers.pop("Content-Length", None)
    try:
        data = rewriting.body(data, headers.get("Content-Encoding", ""))
    except (zlib.error, OSError, EOFError) as error:
        raise status.internal(f"failed to rewrite URLs: {error}") from None
    return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=data)
