"""A component's own port, which is not for everybody: who asks, and may, is the API server's to say.

As upstream's (k8s.io/apiserver options.DelegatingAuthentication and DelegatingAuthorization): every path but those of
health needs the user to be allowed it by a SubjectAccessReview (`nonResourceURLs`), also nobody (system:anonymous).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.kit.clock import Clock
from apimachinery.kit.debug import DebugServer, Handler
from apimachinery.meta.status import ApiError

from .delegation import Gate, NotDecided, shown_certificate, undecided
from .open_paths import OpenPaths
from .rest import ApiUnreachable, Client
from .trust import Trust

log = logging.getLogger(__name__)

Answer = Callable[[str, str, Mapping[str, str]], Awaitable[dict[str, Any]]]
"""(method, path below the prefix, query) → JSON. Raises ApiError."""

METHODS, BELOW = ("GET", "POST"), "/{below:.*}"
_RETRY = 5.0  # seconds


class Guarded:
    """Lets through to `server` whom the API server lets. Certificates count from when `run` has learned of whom."""

    def __init__(self, server: DebugServer, client: Client, clock: Clock, open_paths: OpenPaths | None = None) -> None:
        self._server, self._client, self._clock = server, client, clock
        self._open = OpenPaths() if open_paths is None else open_paths
        self._gate = Gate(client, clock)
        server.guard(self._check)

    def route(self, prefix: str, answer: Answer) -> None:
        """Serve `prefix`/…; before the server runs."""
        for method in METHODS:
            self._server.route(f"{prefix}{BELOW}", answering(answer), method)

    async def run(self, context: ssl.SSLContext) -> None:
        """Learn the authorities, and ask clients of `context` for certificates from then on."""
        while True:
            try:
                found = await self._client.get(CONFIGMAPS, "extension-apiserver-authentication", "kube-system")
                trust = Trust.read(found.get("data") or {})
                trust.ask_clients(context)
            except (ApiError, ApiUnreachable, KeyError, ValueError, ssl.SSLError) as error:
                log.info("client certificates count nothing yet: extension-apiserver-authentication: %s", error)
                await self._clock.sleep(_RETRY)
            else:
                self._gate.trust = trust
                return

    async def _check(self, request: web.Request) -> web.Response | None:
        """The refusal of a request that may not be."""
        try:
            user = await self._gate.authenticate(shown_certificate(request), request.headers)
            if request.path not in self._open:
                verb = request.method.lower()
                attributes = {"nonResourceAttributes": {"path": request.path, "verb": verb}}
                await self._gate.authorize(user, attributes, f'{verb} path "{request.path}"')
        except ApiError as error:
            return refused(error)
        except NotDecided as error:
            return undecided(request, error)
        return None


def answering(answer: Answer) -> Handler:
    """What serves `answer` at a route that ends with BELOW."""

    async def serve(request: web.Request) -> web.Response:
        try:
            found = await answer(request.method, request.match_info["below"], request.query)
        except ApiError as error:
            return refused(error)
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    return serve


def refused(error: ApiError) -> web.Response:
    """A refusal as the API tells it."""
    return web.Response(status=error.code, body=orjson.dumps(error.to_status()), content_type="application/json")
