"""The listener, and what every request passes on its way: limits, identity, permission, errors told as Status."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from apimachinery.kit.trace import Trace, current, use
from apimachinery.meta import status, times
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.audit.trail import Trail, audit_id, trail_of
from controlplane.apiserver.authn import remarks
from controlplane.apiserver.authn.authenticator import Authenticator
from controlplane.apiserver.authn.impersonation import impersonate
from controlplane.apiserver.authn.user import NOBODY, User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.authz.union import Union, refusal
from controlplane.apiserver.fairness.seats import Seats
from controlplane.apiserver.front import metering, responses
from controlplane.apiserver.front.answer import PRIVATE, Answer
from controlplane.apiserver.front.browsers import Browsers
from controlplane.apiserver.front.connection import ASKED, Connection, Connections, ask_for_body, malformed
from controlplane.apiserver.front.deadlines import Deadlines
from controlplane.apiserver.front.handshake import peer_of
from controlplane.apiserver.front.request_info import RequestInfo, parse

log = logging.getLogger(__name__)

Serving = asyncio.Task[Any]
Route = Callable[[web.BaseRequest, RequestInfo, User], Awaitable[web.StreamResponse]]

REQUEST_TIMEOUT = 60.0
"""Seconds for a request that is not long-running (--request-timeout's default)."""
HEADER_TIMEOUT = 32.0
"""Seconds that a connection's first request may take to say its headers (upstream's ReadHeaderTimeout)."""
_LINE_MAX = 1 << 20  # bytes of the request line, which bears the command of an exec (upstream's limit for all headers)
_FIELD_MAX = 64 * 1024  # bytes of one header; tokens are long
_SHUTDOWN = 2.0
_COME_AGAIN = "5"  # seconds; upstream's WithRetryAfter
_LEAVING = "The apiserver is shutting down, please try again later.\n"
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_EVER_SERVED = ("/readyz", "/livez", "/healthz", "/metrics")
_SEATED: web.RequestKey[Mapping[str, str]] = web.RequestKey("seat", Mapping)
_SAID: web.RequestKey[remarks.Remarks] = web.RequestKey("remarks", remarks.Remarks)
_USER: web.RequestKey[str] = web.RequestKey("user", str)
_IDENTITY: web.RequestKey[str] = web.RequestKey("audit identity", str)
_UPGRADED = 101
#: Writes that come all the time and lead to nothing: they would crowd out what people want to understand.
_UNNOTED = frozenset({"leases", "events", "subjectaccessreviews", "selfsubjectaccessreviews", "tokenreviews"})
_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_REFUSED_MAX = 1000  # characters of a refusal that the trace keeps
_BAD_LIMIT = "invalid timeout specified in the request URL"
_TOO_LONG = "request did not complete within the allotted timeout"


class Front:
    """The HTTPS server. `route` is given what has been identified and allowed."""

    def __init__(
        self,
        route: Route,
        authenticator: Authenticator,
        authorizer: Union,
        *,
        auditor: Auditor | None = None,
        seats: Seats | None = None,
        trace: Trace | None = None,
        browsers: Browsers | None = None,
        limit: float = REQUEST_TIMEOUT,
        header_timeout: float = HEADER_TIMEOUT,
    ) -> None:
        """limit: seconds that a request may take which is not long-running."""
        self._route, self._authenticator, self._authorizer = route, authenticator, authorizer
        self._auditor, self._seats, self._trace = auditor, seats, trace
        self._browsers, self._limit, self._header_timeout = browsers, limit, header_timeout
        self._silent: dict[object, asyncio.TimerHandle] = {}  # connections without a request so far
        self._deadlines = Deadlines(limit)
        self._server: Connections | None = None
        self._listener: asyncio.Server | None = None
        self._short = 0  # requests being served, those that run for long left out
        self._drained: asyncio.Event | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext, *, share: bool = False) -> int:
        """Listen; returns the port. share: other processes may listen on it too, and the kernel spreads the
        connections over them. Raises OSError when the address cannot be bound."""
        self._server = Connections(
            self._handle,
            self._beginning,
            access_log=None,
            logger=_http_log(),
            keepalive_timeout=180,
            max_line_size=_LINE_MAX,
            max_field_size=_FIELD_MAX,
            auto_decompress=True,
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._accept,
            host,
            port,
            ssl=tls,
            backlog=1024,
            reuse_address=True,
            reuse_port=share,
            ssl_handshake_timeout=10,
        )
        return int(self._listener.sockets[0].getsockname()[1])

    def _accept(self) -> asyncio.Protocol:
        """The protocol of a new connection, which is closed when its first request does not come in time: aiohttp
        waits for ever, and a client that dribbles costs a connection."""
        assert self._server is not None
        protocol = self._server()

        def end() -> None:
            if self._silent.pop(protocol, None) is not None and protocol.transport is not None:
                protocol.transport.abort()

        self._silent[protocol] = asyncio.get_running_loop().call_later(self._header_timeout, end)
        return protocol

    async def drain(self, within: float) -> None:
        """From now on tell every new request to come again later: whoever does may be led to another server. Returns
        when those that had begun are answered, long-running ones left out, or after so many seconds."""
        self._drained = asyncio.Event()
        if self._short:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._drained.wait()

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            await self._server.shutdown(_SHUTDOWN)
        if self._listener is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN):
                    await self._listener.wait_closed()
        if self._auditor is not None:
            await self._auditor.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.monotonic()
        if (timer := self._silent.pop(request.protocol, None)) is not None:
            timer.cancel()
        raw_path = request.rel_url.raw_path
        if "%" in raw_path and _BAD_ESCAPE.search(raw_path):
            return malformed()
        info = parse(request.method, raw_path, request.query)
        if self._drained is not None and not info.path.startswith(_EVER_SERVED):
            return _leaving()
        long_running = info.long_running
        mutating = request.method in _MUTATING
        served = metering.being_served(request, info, mutating=mutating, long_running=long_running)
        served.inc()
        task = asyncio.current_task()
        assert task is not None
        try:
            if long_running:
                response = await self._answer_while_heard(request, info, task)
            else:
                self._short += 1
                try:
                    response = await self._answer_in_time(request, info, task, mutating=mutating)
                finally:
                    self._short -= 1
                    if self._drained is not None and not self._short:
                        self._drained.set()
        finally:
            served.dec()
        metering.record(request, info, response, time.monotonic() - began, request.get(_SAID))
        return response

    async def _answer_in_time(
        self, request: web.BaseRequest, info: RequestInfo, task: Serving, *, mutating: bool
    ) -> web.StreamResponse:
        try:
            own = _own_limit(request, self._limit)
        except ValueError as error:
            return responses.refusal(request, status.bad_request(f"{_BAD_LIMIT} - {error}"))
        # A write that has begun is finished even when the client goes away: half of it would be worse.
        answer = self._noted(request, info) if mutating else self._answer_while_heard(request, info, task)
        try:
            if own is None:
                return await self._deadlines.within(answer, task)
            async with asyncio.timeout(own):
                return await self._deadlines.within(answer, task)
        except TimeoutError:
            metering.terminated(request, info, 504)
            return responses.refusal(request, status.timeout(_TOO_LONG))

    async def _answer_while_heard(
        self, request: web.BaseRequest, info: RequestInfo, task: Serving
    ) -> web.StreamResponse:
        """The answer; given up when the client goes away."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.ending = task
        if request.transport is None:
            task.cancel()  # it went before this began
        try:
            return await self._answer(request, info)
        finally:
            connection.ending = None

    async def _noted(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        """The answer to a write. What it does is noted, as one work, in the trace (`kubelab trace`)."""
        trace = self._trace
        if trace is None or not info.is_resource or info.resource in _UNNOTED:
            return await self._answer(request, info)
        before, began = current(), trace.now()
        use(trace)
        try:
            with trace.working() as work:
                response = await self._answer(request, info)
        finally:
            use(before)  # this task serves the connection's other requests too
        detail = _Asked(
            info.verb,
            info.subresource,
            request.get(_USER, ""),
            request.headers.get("User-Agent", ""),
            request.get(_IDENTITY, ""),
            response.status,
            trace.now() - began,
        )
        name = info.name
        if response.status >= 400 and "dryRun" not in request.query:
            detail.refused, named = _refused(response)
            name = name or named
        about = f"{info.resource}.{info.group}" if info.group else info.resource
        key = f"{info.namespace}/{name}" if info.namespace else name
        trace.note_at(began, work, "request", about, key, "", detail)
        return response

    async def _answer(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        if self._auditor is None:
            return await self._told(request, info)
        response = None
        try:
            response = await self._told(request, info)
            return response
        finally:
            if (trail := trail_of(request)) is not None:
                trail.completed(response)
                if response is not None:
                    await trail.settled()

    async def _told(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        """The answer, whatever happens."""
        said = request[_SAID] = remarks.begin()
        try:
            response = self._preflight(request) or await self._identified(request, info)
        except status.ApiError as error:
            response = responses.refusal(request, error)
        except (ConnectionResetError, aiohttp.ClientConnectionResetError):
            raise
        except web.RequestPayloadError as error:
            response = responses.refusal(request, status.bad_request(f"the body could not be read: {error}"))
        except Exception as error:
            log.exception("%s %s failed", request.method, info.path)
            response = responses.refusal(request, status.internal(type(error).__name__))
        if not response.prepared:
            if "Upgrade" in request.headers:
                response.force_close()  # what comes after a refused upgrade is no request (CVE-2018-1002105)
            if "Expect" in request.headers and ASKED not in request:
                response.force_close()  # the body may come or not
            if said.warnings:
                _warn(response, said)
            identity = self._identity(request)
            if isinstance(response, Answer) and response.plain and identity.isascii():
                response.tell({"Cache-Control": PRIVATE, **self._lines(request)}, identity)
            else:
                self._head(request, response)
        return response

    def _beginning(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """The same for what is sent while its handler still runs: watches, logs, what a proxied backend says."""
        if _USER in request and response.status != _UPGRADED:
            self._head(request, response)
            _warn(response, remarks.current())

    def _head(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers.setdefault("Audit-Id", self._identity(request))
        response.headers.setdefault("Cache-Control", PRIVATE)
        response.headers.update(self._lines(request))

    def _lines(self, request: web.BaseRequest) -> Mapping[str, str]:
        """Other headers of the answer."""
        seated = request.get(_SEATED) or {}
        return seated if self._browsers is None else {**seated, **self._browsers.lines(request)}

    def _preflight(self, request: web.BaseRequest) -> web.Response | None:
        return self._browsers.preflight(request) if self._browsers is not None else None

    def _identity(self, request: web.BaseRequest) -> str:
        found = request.get(_IDENTITY)
        if found is None:
            trail = trail_of(request) if self._auditor is not None else None
            found = request[_IDENTITY] = trail.identity if trail is not None else audit_id(request)
        return found

    async def _identified(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        peer = peer_of(request.transport) if request.transport is not None else None
        try:
            user = await self._authenticator.authenticate(peer, request.headers, info.path)
        except status.ApiError as error:
            if self._auditor is not None:
                shown = peer is not None
                await self._auditor.unidentified(request, info, _attributes(NOBODY, info), error, certificate=shown)
            raise
        trail = self._auditor.begin(request, info, user, _attributes(user, info)) if self._auditor else None
        if self._auditor is not None and trail is not None:
            await self._auditor.admit(request, trail)
        if "Impersonate-User" in request.headers or any(key.startswith("Impersonate-") for key in request.headers):
            user = await impersonate(user, request.headers, self._authorizer.require)
            if trail is not None:
                trail.impersonates(user)
        attributes = _attributes(user, info)
        watches = info.verb == "watch"
        if self._seats is None or (not watches and info.long_running):
            return await self._permitted(request, info, attributes, trail)
        try:
            held = await self._seats.take(attributes)
        except status.Busy as error:
            request[_SEATED] = error.headers
            metering.terminated(request, info, 429)
            raise
        request[_SEATED] = held.headers
        if watches:
            # Only its beginning is held to the limits: a watch costs little once it is there.
            held.release()
            return await self._permitted(request, info, attributes, trail)
        try:
            return await self._permitted(request, info, attributes, trail)
        finally:
            held.release()

    async def _permitted(
        self, request: web.BaseRequest, info: RequestInfo, attributes: Attributes, trail: Trail | None
    ) -> web.StreamResponse:
        request[_USER] = attributes.user.name
        try:
            decision, reason = await self._authorizer.authorize(attributes)
        except status.ApiError:
            if trail is not None:
                trail.undecided()
            raise
        if trail is not None:
            trail.decided(decision is Decision.ALLOW, reason)
        if decision is not Decision.ALLOW:
            raise refusal(attributes, reason)
        if "Expect" in request.headers:
            ask_for_body(request)
        return await self._route(request, info, attributes.user)


class _Asked(Struct, gc=False, omit_defaults=True):
    """What the trace keeps of one request. seconds: until its answer was there. refused: with what words."""

    verb: str
    subresource: str
    user: str
    agent: str
    audit: str
    code: int
    seconds: float
    refused: str | None = None


def _http_log() -> logging.Logger:
    """aiohttp's log without the tracebacks of what clients did: a request that was no HTTP is told by its 400, a body
    that nobody asked for and that cannot be unpacked by the connection's end."""
    found = logging.getLogger(f"{__name__}.http")
    theirs = (HttpProcessingError, web.RequestPayloadError)
    found.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], theirs)))
    return found


def _attributes(user: User, info: RequestInfo) -> Attributes:
    if not info.is_resource:
        return Attributes(user, info.verb, path=info.path)
    return Attributes(
        user,
        info.verb,
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
        field_selector=info.field_selector,
        label_selector=info.label_selector,
    )


def _warn(response: web.StreamResponse, said: remarks.Remarks) -> None:
    """What authentication has to tell goes with whatever is answered, once."""
    responses.warn(response, said.warnings)
    said.warnings.clear()


def _leaving() -> web.Response:
    """What a server says that drains: plain text, before anybody is identified, as upstream."""
    response = responses.text(_LEAVING, 429)
    response.headers["Retry-After"] = _COME_AGAIN
    response.force_close()
    return response


def _own_limit(request: web.BaseRequest, limit: float) -> float | None:
    """The seconds that a client gives its request (`kubectl --request-timeout`), where they are fewer than ours. Raises
    ValueError."""
    text = request.query.get("timeout")
    if not text:
        return None
    seconds = times.parse_duration(text)
    return seconds if 0 < seconds < limit else None


def _refused(response: web.StreamResponse) -> tuple[str, str]:
    """The message of a refusal, and the name that it speaks of, as far as it says them."""
    body = response.body if isinstance(response, web.Response) else None
    with suppress(orjson.JSONDecodeError):
        told = response.get(responses.SAID)
        if told is None and isinstance(body, bytes):
            told = orjson.loads(body)
        if isinstance(told, dict):
            details = told.get("details")
            name = details.get("name") if isinstance(details, dict) else None
            return str(told.get("message") or "")[:_REFUSED_MAX], str(name or "")
    return "", ""
