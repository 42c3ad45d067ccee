"""Plain HTTP handed on: one request to a node agent, its answer streamed back. Redirects are not followed,
nor passed on: a node agent must not send the API server or its client elsewhere.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

from apimachinery.meta import status
from controlplane.apiserver.front import decode

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "content-length", "content-encoding"}
)
_PRIVATE = frozenset({"authorization", "host", "accept-encoding", "cookie"})
_CONNECT_TIMEOUT = 10.0
_REFUSAL_MAX = 2000  # bytes of a refusal's text that are passed on
_NO_REDIRECTS = "the backend attempted to redirect this request, which is not permitted"


@dataclass(frozen=True, slots=True)
class Target:
    """A node agent: address, port, and how to talk TLS with it."""

    host: str
    port: int
    tls: ssl.SSLContext

    def url(self, path: str, query: Sequence[tuple[str, str]]) -> URL:
        """The URL of an (encoded) path there."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return URL(f"https://{host}:{self.port}{path}", encoded=True).with_query(list(query))


def is_redirect(code: int, headers: Mapping[str, str]) -> bool:
    """Whether a client would go elsewhere by it."""
    return 300 <= code < 400 and "Location" in headers


def redirect_refused() -> web.Response:
    """What the client gets in place of a redirect; the connection ends with it."""
    response = web.Response(status=502, text=_NO_REDIRECTS)
    response.force_close()
    return response


def refusal(code: int, text: str) -> status.ApiError:
    """A node agent's refusal as a client is told of it (registry/generic/rest: GenericHttpResponseChecker)."""
    if code == 500:
        return status.internal(text)
    if code == 400:
        return status.bad_request(text)
    error = status.ApiError.from_status(code, text)
    return status.ApiError(code, error.reason, text or error.message, error.details)


async def forward(
    request: web.BaseRequest,
    target: Target,
    path: str,
    query: Sequence[tuple[str, str]],
    *,
    checked: bool = False,
) -> web.StreamResponse:
    """The answer, as it comes. Raises ApiError 500 when the node agent cannot be reached; when `checked`, also its
    refusals (codes outside 200 to 206), whose text becomes the message.
    """
    headers = {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in _HOP_BY_HOP | _PRIVATE and not name.lower().startswith("impersonate-")
    }
    body = await decode.read_body(request)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        try:
            answer = await session.request(
                request.method,
                target.url(path, query),
                headers=headers,
                data=body or None,
                ssl=target.tls,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise status.internal(f'Get "{target.url(path, query)}": {error}') from None
        async with answer:
            if is_redirect(answer.status, answer.headers):
                return redirect_refused()
            if checked and not 200 <= answer.status <= 206:
                text = (await answer.content.read(_REFUSAL_MAX)).decode(errors="replace")
                raise refusal(answer.status, text.strip())
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            if "Content-Encoding" in answer.headers:
                response.headers["Content-Encoding"] = answer.headers["Content-Encoding"]
            response.enable_chunked_encoding()
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
