"""The last step of a request, before this server's own: is it for another server, or about several of them?"""

from __future__ import annotations

import zlib
from typing import Any

import orjson
from aiohttp import web

from apimachinery.kit import go_json
from controlplane.apiserver.aggregation import documents
from controlplane.apiserver.aggregation.apiservices import ApiServices
from controlplane.apiserver.aggregation.proxy import AggregatorProxy
from controlplane.apiserver.aggregation.remote_documents import AGGREGATED, RemoteDocuments
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front import responses
from controlplane.apiserver.front.negotiate import OPENAPI_V2, OPENAPI_V2_SAID, Accepted, aggregated
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.server import Route

Object = dict[str, Any]


class Aggregator:
    """local: what serves everything that is this server's own."""

    def __init__(self, local: Route, index: ApiServices, remote: RemoteDocuments, proxy: AggregatorProxy) -> None:
        self._local, self._index, self._remote, self._proxy = local, index, remote, proxy
        self._kept: dict[str, tuple[object, bytes]] = {}

    async def serve(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """Raises ApiError."""
        api = self._server(info)
        if api is not None:
            return await self._proxy.serve(request, info, user, api)
        if info.is_resource or request.method not in ("GET", "HEAD"):
            return await self._local(request, info, user)
        found = await self._document(request, info, user)
        return found if found is not None else await self._local(request, info, user)

    def _server(self, info: RequestInfo) -> Object | None:
        """The APIService whose server the request is for. Only what was authorized as a resource, or is the group
        version's own document, is handed on: other paths below it mean nothing here."""
        if info.is_resource:
            return self._index.server_of(info.group, info.version)
        match info.path.strip("/").split("/"):
            case ["apis", group, version]:
                return self._index.server_of(group, version)
            case ["api", version]:
                return self._index.server_of("", version)
        return None

    async def _document(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse | None:
        """A document about several servers; None when this server alone knows it."""
        groups = self._index.groups()
        match info.path.strip("/").split("/"):
            case ["apis"]:
                wanted = aggregated(request.headers.get("Accept", ""))
                if wanted is None and groups:
                    return responses.document(request, documents.group_list(groups))
                if wanted is not None and self._remote.discovery:
                    return await self._aggregated(request, info, user, wanted)
            case [""] if self._remote.discovery:
                return await self._root(request, info, user)
            case ["apis", group] if group in groups:
                found = {"kind": "APIGroup", "apiVersion": "v1", **documents.api_group(group, groups[group])}
                return responses.document(request, found)
            case ["openapi", "v3"] if self._remote.openapi_v3:
                local = await self._own(request, info, user, "application/json")
                if local is not None:
                    paths = {**(local.get("paths") or {}), **self._remote.openapi_v3}
                    return responses.document(request, {**local, "paths": paths})
            case ["openapi", "v3", *path] if "/".join(path) in self._remote.openapi_v3:
                api = self._index.server_of(path[1] if path[0] == "apis" else "", path[-1])
                if api is not None:
                    return await self._proxy.serve(request, info, user, api)
            case ["openapi", "v2"] if self._remote.openapi_v2:
                return await self._openapi_v2(request, info, user)
        return None

    async def _root(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse | None:
        local = await self._own(request, info, user, "application/json")
        if local is None:
            return None
        remote = [f"/apis/{group}/{version}" for group, version in self._remote.discovery if group]
        paths = {*local["paths"], *remote, *(path.rpartition("/")[0] for path in remote)}
        return responses.document(request, {**local, "paths": sorted(paths)})

    async def _aggregated(
        self, request: web.BaseRequest, info: RequestInfo, user: User, wanted: Accepted
    ) -> web.StreamResponse | None:
        local = await self._own(request, info, user, AGGREGATED)
        if local is None:
            return None
        groups, versions = self._index.priorities()
        items = documents.merged_discovery(local.get("items") or [], self._remote.discovery, groups, versions)
        return responses.discovery(request, go_json.encode({**local, "items": items}), wanted)

    async def _openapi_v2(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse | None:
        response = await self._local(self._plain(request, "application/json"), info, user)
        state = self._remote.generation, response.headers.get("Etag", "")
        kept = self._kept.get("openapi/v2")
        if kept is None or kept[0] != state:
            local = _json(response)
            if local is None:
                return None
            merged = documents.merged_openapi(local, sorted(self._remote.openapi_v2.items()))
            kept = self._kept["openapi/v2"] = state, go_json.encode(merged)
        if OPENAPI_V2 not in request.headers.get("Accept", ""):
            return responses.tagged(request, kept[1])
        written = self._kept.get("openapi/v2 in protobuf")
        if written is None or written[0] != state:
            from controlplane.apiserver.front.openapi_protobuf import openapi_v2  # for old clients only

            written = self._kept["openapi/v2 in protobuf"] = state, openapi_v2(orjson.loads(kept[1]))
        return responses.tagged(request, written[1], OPENAPI_V2_SAID)

    async def _own(self, request: web.BaseRequest, info: RequestInfo, user: User, accept: str) -> Object | None:
        return _json(await self._local(self._plain(request, accept), info, user))

    def _plain(self, request: web.BaseRequest, accept: str) -> web.BaseRequest:
        """The same request, as JSON, whole and not packed, whatever the client would like."""
        return request.clone(headers={"Accept": accept, "Host": request.host})


def _json(response: web.StreamResponse) -> Object | None:
    if not isinstance(response, web.Response) or response.status != 200 or not isinstance(response.body, bytes):
        return None
    data = response.body
    if response.headers.get("Content-Encoding") == "gzip":
        data = zlib.decompress(data, 31)
    found = orjson.loads(data)
    return found if isinstance(found, dict) else None
