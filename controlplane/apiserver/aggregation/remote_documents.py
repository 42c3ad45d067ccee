"""What the servers behind APIServices say about themselves: discovery and OpenAPI, fetched again every minute.

An answer that no longer comes is kept and marked Stale, so that clients still see what there was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from multidict import CIMultiDict

from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.aggregation.apiservices import ApiServices, is_available, service_of
from controlplane.apiserver.aggregation.availability import AGGREGATOR
from controlplane.apiserver.aggregation.documents import discovered_resources
from controlplane.apiserver.aggregation.resolver import BadTransport, Resolver, Unresolved
from controlplane.apiserver.streams.forward import Forwarder, Sent, Unreachable
from controlplane.apiserver.streams.headers import identify

Object = dict[str, Any]

REFRESH = 60.0
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_TIMEOUT = 5.0
_DOCUMENT_MAX = 32 * 1024 * 1024


class RemoteDocuments:
    """`discovery`: (group, version) → APIVersionDiscovery. `openapi_v3`: path ("apis/g/v") → its entry of the
    index. `openapi_v2`: path prefix → the remote document. All of available or once seen APIServices."""

    def __init__(self, index: ApiServices, resolver: Resolver, forwarder: Forwarder, clock: Clock) -> None:
        self._index, self._resolver, self._forwarder = index, resolver, forwarder
        self._queue = WorkQueue(clock, base=0.5, cap=REFRESH)
        self.discovery: dict[tuple[str, str], Object] = {}
        self.openapi_v3: dict[str, Object] = {}
        self.openapi_v2: dict[str, Object] = {}
        self._tags: dict[str, str] = {}
        self.generation = 0

    async def run(self) -> None:
        """Until cancelled."""
        self._index.listen(self._queue.add)
        await Controller("apiservice-discovery", self._reconcile, self._queue, workers=2).run()

    async def _reconcile(self, name: str) -> float | None:
        version, _, group = name.partition(".")
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        api = self._index.get(name)
        if api is None or service_of(api) is None:
            held = [self.discovery.pop((group, version), None), self.openapi_v3.pop(path, None)]
            held.append(self.openapi_v2.pop(f"/{path}", None))
            self._tags.pop(path, None)
            self.generation += any(each is not None for each in held)
            return None
        try:
            entry = {**await self._discover(api, group, version), "freshness": "Current"}
            failure = None
        except _Failed as error:
            entry = {**(self.discovery.get((group, version)) or {"version": version}), "freshness": "Stale"}
            failure = error
        if self.discovery.get((group, version)) != entry:
            self.discovery[group, version] = entry
            self.generation += 1
        if failure is not None:
            if not is_available(api):
                return REFRESH  # the condition says why; its change brings us back
            raise status.service_unavailable(str(failure))
        await self._describe(api, path)
        return REFRESH

    async def _discover(self, api: Object, group: str, version: str) -> Object:
        code, headers, body = await self._get(api, "/apis", AGGREGATED)
        kind = headers.get("Content-Type", "").replace(" ", "")
        if code == 200 and "g=apidiscovery.k8s.io" in kind and "as=APIGroupDiscoveryList" in kind:
            for item in _document(body).get("items") or []:
                for each in item.get("versions") or []:
                    if ((item.get("metadata") or {}).get("name") or "", each.get("version")) == (group, version):
                        return dict(each)
            return {"version": version}
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        code, _, body = await self._get(api, path, "application/json")
        if code != 200:
            raise _Failed(f"failed to download legacy discovery for {path}: {code}")
        resources = _document(body).get("resources") or []
        return {"version": version, "resources": discovered_resources(resources, group, version)}

    async def _describe(self, api: Object, path: str) -> None:
        """OpenAPI is a help, not a need: a server without it is as good as one with it."""
        try:
            code, _, body = await self._get(api, "/openapi/v3", "application/json")
            entry = (_document(body).get("paths") or {}).get(path) if code == 200 else None
            if isinstance(entry, dict):
                # Wherever the document is there, here it is in its usual place; the hash is for the clients' caches.
                query = str(entry.get("serverRelativeURL") or "").partition("?")[2]
                self.openapi_v3[path] = {"serverRelativeURL": f"/openapi/v3/{path}" + (f"?{query}" if query else "")}
            else:
                self.openapi_v3.pop(path, None)
            tag = self._tags.get(path, "")
            code, headers, body = await self._get(api, "/openapi/v2", "application/json", tag)
            if code == 200:
                self.openapi_v2[f"/{path}"] = _document(body)
                self._tags[path] = headers.get("Etag", "")
                self.generation += 1
        except _Failed:
            return

    async def _get(self, api: Object, path: str, accept: str, tag: str = "") -> tuple[int, Mapping[str, str], bytes]:
        if not is_available(api):
            raise _Failed("service unavailable")
        headers: CIMultiDict[str] = CIMultiDict({"Accept": accept})
        if tag:
            headers["If-None-Match"] = tag
        identify(headers, AGGREGATOR)
        try:
            async with asyncio.timeout(_TIMEOUT):
                target = await self._resolver.target(api)
                async with await self._forwarder.ask(target, Sent("GET", path, "", headers)) as answer:
                    body = bytearray()
                    async for chunk in answer.content.iter_any():
                        body += chunk
                        if len(body) > _DOCUMENT_MAX:
                            raise _Failed(f"{path} is larger than {_DOCUMENT_MAX} bytes")
                    return answer.status, answer.headers, bytes(body)
        except (Unresolved, BadTransport, Unreachable, TimeoutError, OSError) as error:
            raise _Failed(f"{path}: {error}") from None


class _Failed(Exception):
    """The document did not come."""


def _document(body: bytes) -> Object:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _Failed(f"not JSON: {error}") from None
    return found if isinstance(found, dict) else {}
