"""The verbs of the API, over HTTP. One connection pool, no retries: whoever calls knows what a repetition means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

from apimachinery.api.catalogue import Resource
from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import current
from apimachinery.meta import build
from apimachinery.meta.status import ApiError

from .config import ClientConfig
from .http import Connections, NotConnected, target
from .http_connection import Stream
from .rehearsal import rehearsal
from .rest_metrics import RequestMetrics

Object = dict[str, Any]
Body = Object | list[Object]

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_UNNOTED = ("/events", "/leases", "accessreviews", "/tokenreviews")
MAX_EVENT = 16 * 1024 * 1024  # bytes of one watch event; the server's objects are smaller by far


class ApiUnreachable(Exception):
    """The server did not answer. For a write this says nothing about whether it happened."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """type: ADDED, MODIFIED, DELETED or BOOKMARK (an ERROR is raised as ApiError)."""

    type: str
    object: Object


class Client:
    """A client of one API server. Use as `async with Client(config, "kubelet") as client`.

    Every refusal is raised as ApiError, with the server's Status; no answer as ApiUnreachable.
    """

    # Asked when the bytes of a write are about to go; None: they always may.
    _may_write: Callable[[], bool] | None = None

    def __init__(self, config: ClientConfig, program: str, *, timeout: float = 30.0, agent_tail: str = "") -> None:
        """program: what the User-Agent begins with. timeout: seconds for an answer. agent_tail: what it ends with."""
        self.config = config
        self._metrics = RequestMetrics(config.server)
        self._user_agent = build.user_agent(program) + agent_tail
        self._timeout = timeout
        self._connections: Connections | None = None
        self._watches: set[Stream] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._answering = asyncio.Event()
        self._answering.set()

    async def __aenter__(self) -> Self:
        self._connections = self._made()
        return self

    async def show(self, config: ClientConfig) -> None:
        """Be somebody else from now on, as after a certificate was renewed: on new connections. Requests that are under
        way come to their end on the old ones; watches end now (ApiUnreachable), and are begun again by who has them."""
        self.config = config
        self._metrics = RequestMetrics(config.server)
        before, self._connections = self._connections, self._made()
        for watch in tuple(self._watches):
            watch.close()
        if before is not None:
            self._retiring.add(asyncio.create_task(self._retire(before)))

    async def _retire(self, connections: Connections) -> None:
        try:
            await asyncio.sleep(self._timeout)
        finally:
            connections.close()
            task = asyncio.current_task()
            if task is not None:
                self._retiring.discard(task)

    def _made(self) -> Connections:
        return Connections(self.config.server, self.config.ssl_context(), "Accept: application/json\r\n")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await cancel_and_wait(*self._retiring)
        for watch in tuple(self._watches):
            watch.close()
        if self._connections is not None:
            self._connections.close()

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        return await self._json("GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = 0,
        continue_: str = "",
    ) -> Object:
        """The List object, its items with apiVersion and kind, which servers leave out. Of all namespaces when
        `namespace` is None."""
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            limit=str(limit) if limit else "",
            **{"continue": continue_},
        )
        found = await self._json("GET", resource.path(namespace), query)
        for item in found.get("items") or ():
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        return found

    async def create(self, resource: Resource, obj: Object, namespace: str | None = None) -> Object:
        """Create in `namespace`, or in the one that the object names."""
        return await self._json("POST", resource.path(namespace or _namespace(resource, obj)), body=obj)

    async def update(self, resource: Resource, obj: Object, subresource: str | None = None) -> Object:
        """Replace. The object's resourceVersion is the precondition; a lost race is ApiError Conflict."""
        path = resource.path(_namespace(resource, obj), obj["metadata"]["name"], subresource)
        return await self._json("PUT", path, body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Body,
        namespace: str | None = None,
        *,
        kind: str = "merge",
        subresource: str | None = None,
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """kind: "merge" (RFC 7386), "json" (RFC 6902), "strategic" or "apply"."""
        query = _query(fieldManager=field_manager, force="true" if force else "")
        path = resource.path(namespace, name, subresource)
        return await self._json("PATCH", path, query, body=body, content_type=PATCH_TYPES[kind])

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period: int | None = None,
        propagation: str | None = None,
    ) -> Object:
        """uid, resource_version: preconditions. grace_period: seconds.

        propagation: Background, Foreground or Orphan.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = _query(uid=uid or "", resourceVersion=resource_version or "")
        if preconditions:
            options["preconditions"] = preconditions
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        if propagation:
            options["propagationPolicy"] = propagation
        return await self._json("DELETE", resource.path(namespace, name), body=options)

    async def create_subresource(
        self, resource: Resource, name: str, subresource: str, body: Object, namespace: str | None = None
    ) -> Object:
        """POST to a subresource: binding, eviction, token."""
        return await self._json("POST", resource.path(namespace, name, subresource), body=body)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        timeout_seconds: int = 300,
        bookmarks: bool = True,
    ) -> AsyncIterator[WatchEvent]:
        """What changes after `resource_version`, until the server ends the stream after `timeout_seconds`.

        Raises ApiError (code 410: that revision is no longer held; list again) and ApiUnreachable.
        """
        query = _query(
            watch="true",
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            timeoutSeconds=str(timeout_seconds),
            allowWatchBookmarks="true" if bookmarks else "",
        )
        path, stream, status = target(resource.path(namespace), query), None, None
        try:
            # The server ends the stream; the margin is for a server that died without a word.
            stream = await self._opened().listen(
                path, self._identity(), silence=timeout_seconds + 30, line_max=MAX_EVENT
            )
            self._watches.add(stream)
            status = await stream.status()
            self._metrics.ended("GET", status)
            self._answering.set()
            if status != 200:
                body: list[bytes] = []
                while lines := await stream.lines():
                    body += lines
                raise ApiError.from_status(status, b"\n".join(body))
            while lines := await stream.lines():
                for line in filter(None, lines):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError.from_status(event["object"].get("code", 500), orjson.dumps(event["object"]))
                    yield WatchEvent(event["type"], event["object"])
        except (OSError, ValueError) as error:
            if status is None:
                self._metrics.ended("GET", None)
            self._note(error)
            words = str(error) or type(error).__name__
            told = self._told("GET", path, words) if status is None else f"watch of {resource.plural}: {words}"
            raise ApiUnreachable(told) from error
        finally:
            if stream is not None:
                self._watches.discard(stream)
                stream.close()

    async def pause(self, seconds: float, clock: Clock) -> None:
        """Wait before asking again: `seconds`, or until a server that was silent answers another request."""
        if self._answering.is_set():
            await clock.sleep(seconds)
            return
        sleeping = asyncio.ensure_future(clock.sleep(seconds))
        hearing = asyncio.ensure_future(self._answering.wait())
        try:
            await asyncio.wait((sleeping, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(sleeping, hearing)

    async def raw(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Object | None = None
    ) -> bytes:
        """Any other path. Returns the body of a 2xx answer."""
        return await self._bytes(method, path, query or {}, body)

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer: Object = orjson.loads(await self._bytes(method, path, query or {}, body, content_type))
        if method != "GET" and (trace := current()) is not None and _is_noted(path):
            metadata = answer.get("metadata") or {}
            trace.note("wrote", path, metadata.get("name") or "", metadata.get("resourceVersion") or "", method)
        return answer

    async def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Body | None,
        content_type: str = "application/json",
    ) -> bytes:
        if (tried := rehearsal()) is not None:
            return await tried.perform(self._sent, method, path, query, body, content_type)
        return await self._sent(method, path, query, body, content_type)

    async def _sent(
        self, method: str, path: str, query: Mapping[str, str], body: Body | None, content_type: str
    ) -> bytes:
        data = orjson.dumps(body) if body is not None else None
        headers = f"Accept-Encoding: gzip\r\n{self._identity()}"
        if data is not None:
            headers += f"Content-Type: {content_type}\r\n"
        may = self._may_write if method != "GET" else None
        began, asked = time.perf_counter(), target(path, query)
        try:
            status, answer = await self._opened().ask(method, asked, headers, data, timeout=self._timeout, may=may)
        except (OSError, ValueError) as error:
            self._metrics.ended(method, None, time.perf_counter() - began)
            self._note(error)
            raise ApiUnreachable(self._told(method, asked, str(error) or type(error).__name__)) from error
        self._metrics.ended(method, status, time.perf_counter() - began)
        self._answering.set()
        if status >= 300:
            raise ApiError.from_status(status, answer)
        return answer

    def _told(self, method: str, asked: str, words: str) -> str:
        """A request without an answer, as Go's url.Error shows it."""
        return f'{method.capitalize()} "{self.config.server}{asked}": {words}'

    def _opened(self) -> Connections:
        if self._connections is None:
            raise RuntimeError("the client is not open")
        return self._connections

    def _identity(self) -> str:
        """The headers that say who we are: what program, and whose, where the certificate does not."""
        token = self.config.bearer()
        bearer = f"Authorization: Bearer {''.join(token.split())}\r\n" if token else ""
        return f"User-Agent: {self._user_agent}\r\n{bearer}"

    def _note(self, error: Exception) -> None:
        # A stream that broke says nothing about the server: only one that cannot be reached is silent.
        if isinstance(error, NotConnected):
            self._answering.clear()


async def wait_ready(client: Client, *, attempts: int = 0, pause: float = 0.2) -> None:
    """Return when /readyz answers ok; ApiUnreachable or ApiError of the last try after `attempts` (0: for ever)."""
    tried = 0
    while True:
        tried += 1
        try:
            await client.raw("GET", "/readyz")
        except (ApiError, ApiUnreachable):
            if tried == attempts:
                raise
            await asyncio.sleep(pause)
        else:
            return


def _namespace(resource: Resource, obj: Object) -> str | None:
    return obj["metadata"].get("namespace") if resource.namespaced else None


def _query(**parameters: str) -> dict[str, str]:
    return {key: value for key, value in parameters.items() if value}


def _is_noted(path: str) -> bool:
    """Whether a write says something in a trace: renewals and events come all the time and lead to nothing."""
    return not path.endswith(_UNNOTED) and "/leases/" not in path and "/events/" not in path
