"""Paths of a component's own port that are not for everybody (/debug): who asks, and may, is the API server's to say.

The API server hands such requests on with its front proxy's certificate; a bearer token that TokenReview knows is good
as well. Both need the user to be allowed the path by a SubjectAccessReview (`nonResourceURLs`).
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
from apimachinery.kit.debug import DebugServer
from apimachinery.meta import status
from apimachinery.meta.status import ApiError

from .delegation import FrontProxy, Gate
from .rest import ApiUnreachable, Client

log = logging.getLogger(__name__)

Answer = Callable[[str, str, Mapping[str, str]], Awaitable[dict[str, Any]]]
"""(method, path below the prefix, query) → JSON. Raises ApiError."""

_RETRY = 5.0  # seconds


class Guarded:
    """Serves `prefix`/… of `server`; refuses everything until `run` has learned the API server's front proxy."""

    def __init__(self, server: DebugServer, prefix: str, answer: Answer) -> None:
        self._prefix, self._answer = prefix, answer
        self._gate: Gate | None = None
        for method in ("GET", "POST"):
            server.route(prefix + "/{below:.*}", self._serve, method)

    async def run(self, client: Client, context: ssl.SSLContext, clock: Clock) -> None:
        """Learn the front proxy's authority, and ask clients of `context` for certificates from then on."""
        while self._gate is None:
            try:
                found = await client.get(CONFIGMAPS, "extension-apiserver-authentication", "kube-system")
                front = FrontProxy.read(found.get("data") or {})
                context.load_verify_locations(cadata=front.ca)
                context.verify_mode = ssl.CERT_OPTIONAL
                self._gate = Gate(client, front, clock)
            except (ApiError, ApiUnreachable, KeyError, ValueError, ssl.SSLError) as error:
                log.info("%s is served to nobody yet: extension-apiserver-authentication: %s", self._prefix, error)
                await clock.sleep(_RETRY)

    async def _serve(self, request: web.Request) -> web.Response:
        try:
            if self._gate is None:
                raise status.unauthorized()
            transport = request.transport
            certificate = transport.get_extra_info("peercert") if transport is not None else None
            user = await self._gate.authenticate(certificate, request.headers)
            verb = request.method.lower()
            attributes = {"nonResourceAttributes": {"path": request.path, "verb": verb}}
            await self._gate.authorize(user, attributes, f'{verb} path "{request.path}"')
            answer = await self._answer(request.method, request.match_info["below"], request.query)
            return web.Response(body=orjson.dumps(answer), content_type="application/json")
        except ApiError as error:
            return refused(error)
        except ApiUnreachable as error:
            return refused(status.service_unavailable(str(error)))


def refused(error: ApiError) -> web.Response:
    """A refusal as the API tells it."""
    return web.Response(status=error.code, body=orjson.dumps(error.to_status()), content_type="application/json")
