"""Handing a request on to the server behind an APIService, with the user's name in headers.

The server believes the headers because of the front proxy's certificate, and authorizes by itself (it asks back with a
SubjectAccessReview). kube-aggregator pkg/apiserver/handler_proxy.go.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from apimachinery.meta import status
from controlplane.apiserver.aggregation.apiservices import is_available
from controlplane.apiserver.aggregation.resolver import BadTransport, Resolver, Unresolved
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front import responses
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.streams.forward import Forwarder, Sent, Unreachable
from controlplane.apiserver.streams.headers import identify, request_headers
from controlplane.apiserver.streams.proxy import is_upgrade
from controlplane.apiserver.streams.relay import relay

Object = dict[str, Any]

_DISCOVERY_TIMEOUT = 5.0
"""Seconds for a discovery document: every client asks for it, so a slow server must not make all of them slow."""
_UNAVAILABLE = "service unavailable\n"


class AggregatorProxy:
    """reject_redirects: --aggregator-reject-forwarding-redirect."""

    def __init__(self, resolver: Resolver, forwarder: Forwarder, *, reject_redirects: bool = True) -> None:
        self._resolver, self._forwarder, self._reject = resolver, forwarder, reject_redirects

    async def serve(
        self, request: web.BaseRequest, info: RequestInfo, user: User, api: Object, path: str = ""
    ) -> web.StreamResponse:
        """The server's answer, or 503 in plain text when there is none. path: another (encoded) one than asked for."""
        if not is_available(api):
            return responses.text(_UNAVAILABLE, 503)
        try:
            target = await self._resolver.target(api)
        except Unresolved:
            return responses.text(_UNAVAILABLE, 503)
        except BadTransport as error:
            return responses.text(f"{error}\n", 500)
        upgrade = is_upgrade(request)
        headers = request_headers(request, upgrade=upgrade)
        identify(headers, user)
        path = path or request.rel_url.raw_path
        headers["X-Forwarded-Uri"], headers["X-Forwarded-Host"] = path, target.authority
        headers["X-Forwarded-Proto"] = "https"
        sent = Sent(request.method, path, request.rel_url.raw_query_string, headers)
        is_discovery = not info.is_resource and len(path.strip("/").split("/")) == 3
        try:
            if upgrade:
                return await relay(request, target, sent)
            return await self._forwarder.forward(
                request,
                target,
                sent,
                redirects=None if self._reject else lambda _: True,
                answer_within=_DISCOVERY_TIMEOUT if is_discovery else None,
            )
        except Unreachable as error:
            return responses.text(f"error trying to reach service: {error}\n", 503)
        except status.ApiError as error:
            return responses.text(f"{error.message}\n", 503)
