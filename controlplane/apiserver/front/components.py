"""/debug/components/NAME/…: the glass boxes of the control plane's components, through the one door that everybody has.

Who may is a matter of RBAC (`nonResourceURLs`). A component in this process is asked directly; one beside us on its
port, which it serves to our front proxy's certificate and the user that we name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDict

from apimachinery.kit import tls
from apimachinery.meta import status
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front import responses
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.streams.headers import identify

PREFIX = "/debug/components"
_TIMEOUT = aiohttp.ClientTimeout(total=45)  # less than a request to us may take

Ask = Callable[[str, str, Mapping[str, str], User], Awaitable[object]]
"""(method, path below the component, query, who asks) → JSON. Raises ApiError."""


class Components:
    """Serves PREFIX. asks: by the component's name."""

    def __init__(self, asks: Mapping[str, Ask]) -> None:
        self._asks = asks

    async def serve(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.Response:
        """Raises ApiError 404, 503, and what the component refuses with."""
        name, _, path = info.path.removeprefix(PREFIX).strip("/").partition("/")
        if not name:
            return responses.document(request, {"components": sorted(self._asks)})
        ask = self._asks.get(name)
        if ask is None:
            raise status.path_not_found()
        return responses.document(request, await ask(request.method, path, request.query, user))


def within(answer: Callable[[str, str, Mapping[str, str]], Awaitable[object]]) -> Ask:
    """A component in this process."""

    async def ask(method: str, path: str, query: Mapping[str, str], user: User) -> object:
        return await answer(method, path, query)

    return ask


def beside(name: str, port: int, cert: Path | None, key: Path | None) -> Ask:
    """A component of this machine. Its certificate is its own, as for componentstatuses."""

    async def ask(method: str, path: str, query: Mapping[str, str], user: User) -> object:
        if cert is None or key is None:
            raise status.service_unavailable(f"{name} is asked with --proxy-client-cert-file, which is not set")
        headers: CIMultiDict[str] = CIMultiDict()
        identify(headers, user)
        url = f"https://127.0.0.1:{port}/debug/{path}"
        context = tls.unverified_client_context(cert, key)
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.request(method, url, params=query, headers=headers, ssl=context) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise status.service_unavailable(f"{name} does not answer: {error or type(error).__name__}") from None
        if answer.status >= 300:
            raise ApiError.from_status(answer.status, body)
        return orjson.loads(body)

    return ask
