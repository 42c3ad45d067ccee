"""Everything that is no resource: health, version, metrics, discovery, OpenAPI, the token issuer's keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from apimachinery.api.catalogue import Catalogue
from apimachinery.kit import go_json, metrics, slis
from apimachinery.meta import status
from apimachinery.meta.build import version_info
from controlplane.apiserver.authn.issuer import Issuer
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.discovery import documents, openapi
from controlplane.apiserver.front import responses
from controlplane.apiserver.front.components import PREFIX, Components
from controlplane.apiserver.front.health import PATHS, Check, serve_health
from controlplane.apiserver.front.negotiate import (
    JSON,
    OPENAPI_V2,
    OPENAPI_V2_SAID,
    aggregated,
    look_at_route,
    reads_openapi,
)
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.resources import Resources

_PROTOBUF_NAME = "openapi/v2 in protobuf"
_KEPT = 8  # documents; clients ask for few of them, and those of large groups are large


class Routes:
    """The last step of every request. checks: name → check, for the health paths."""

    def __init__(
        self,
        resources: Resources,
        checks: Mapping[str, Check],
        address: str,
        issuer: Issuer,
        debug: Mapping[str, Callable[[Mapping[str, str]], str]] | None = None,
        components: Components | None = None,
    ) -> None:
        self._resources, self._checks, self._address = resources, checks, address
        self._issuer, self._debug = issuer, debug or {}
        self._components = components or Components({})
        self._catalogue = resources.catalogue
        self._documents: dict[str, bytes] = {}

    async def serve(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """Raises ApiError."""
        if info.is_resource:
            return await self._resources.serve(request, info, user)
        path = info.path.rstrip("/") or "/"
        if not path.startswith("/"):  # OPTIONS *
            raise status.path_not_found()
        if path.split("/")[1] in PATHS:
            return await serve_health(request, path, self._checks)
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return await self._components.serve(request, info, user)
        if request.method not in ("GET", "HEAD"):
            raise status.no_such_method()
        match path:
            case "/version":
                _get_only(request)
                look_at_route(request.headers.get("Accept", ""), (JSON,))
                return responses.indented(request, version_info())
            case "/metrics":
                await self._resources.count_objects()
                return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})
            case "/metrics/slis":
                return web.Response(body=slis.render(), headers={"Content-Type": metrics.CONTENT_TYPE})
            case "/":
                return responses.indented(request, {"paths": _paths(self._resources.catalogue)})
            case "/openapi/v2":
                accepted = request.headers.get("Accept", "")
                if not reads_openapi(accepted):
                    return web.Response(status=406, headers={"Vary": "Accept"})
                if OPENAPI_V2 in accepted:
                    return responses.tagged(request, self._document(_PROTOBUF_NAME), OPENAPI_V2_SAID)
                return responses.tagged(request, self._document("openapi/v2"))
            case "/openapi/v3":
                return responses.tagged(request, self._document("openapi/v3"))
        if (dump := self._debug.get(path)) is not None:
            return responses.text(dump(request.query))
        if (published := self._issuer.document(path)) is not None:
            document, media = published
            return web.Response(
                body=go_json.encode(document),
                headers={"Content-Type": media, "Cache-Control": "public, max-age=3600"},
            )
        if path.startswith("/openapi/v3/"):
            return self._openapi_v3(request, path)
        return self._discover(request, path)

    def _openapi_v3(self, request: web.BaseRequest, path: str) -> web.Response:
        """One group's document. By the hash that the index names it may be kept for ever; by an older one it is
        elsewhere (k8s.io/kube-openapi/pkg/handler3)."""
        response = responses.tagged(request, self._document(path[1:]))
        if asked := request.query.get("hash"):
            named = orjson.loads(self._document("openapi/v3"))["paths"].get(path.removeprefix("/openapi/v3/")) or {}
            where = named.get("serverRelativeURL", "")
            if where and not where.endswith(f"?hash={asked}"):
                return web.Response(status=301, headers={"Location": where})
            response.headers["Cache-Control"] = "public, immutable"
        return response

    def _document(self, name: str) -> bytes:
        """A document that costs something to make; kept until what is served changes. Raises ApiError 404."""
        catalogue = self._resources.catalogue
        if catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._documents.clear()
        found = self._documents.get(name)
        if found is None:
            found = self._documents[name] = self._encoded(name, catalogue)
            if len(self._documents) > _KEPT:
                del self._documents[next(iter(self._documents))]
        return found

    def _encoded(self, name: str, catalogue: Catalogue) -> bytes:
        if name == _PROTOBUF_NAME:
            from controlplane.apiserver.front.openapi_protobuf import openapi_v2  # for old clients only

            return openapi_v2(openapi.document_v2(catalogue))
        return go_json.encode(self._made(name, catalogue))

    def _made(self, name: str, catalogue: Catalogue) -> Any:
        if name in ("api", "apis"):
            return documents.aggregated(catalogue, name == "api")
        if name == "openapi/v2":
            return openapi.document_v2(catalogue)
        if name == "openapi/v3":
            return openapi.index(catalogue)
        return openapi.document_v3(catalogue, name.removeprefix("openapi/v3/"))

    def _discover(self, request: web.BaseRequest, path: str) -> web.Response:
        words = path.strip("/").split("/")
        ours = self._resources.own.versions()
        if words[0] == "api" or len(words) > 2:
            _get_only(request)
            if words[0] == "api" or words[1] in ours:
                look_at_route(request.headers.get("Accept", ""))
        found: Any = None
        catalogue = self._resources.catalogue
        if words == ["apis"] or (words == ["api"] and catalogue.in_version("", "v1")):
            if wanted := aggregated(request.headers.get("Accept", "")):
                return responses.discovery(request, self._document(words[0]), wanted)
            found = documents.api_versions(self._address) if words == ["api"] else documents.group_list(catalogue)
        elif words[0] == "api" and len(words) == 2:
            found = documents.resource_list(catalogue, "", words[1])
        elif words[0] == "apis" and len(words) == 2:
            found = documents.group(catalogue, words[1])
        elif words[0] == "apis" and len(words) == 3:
            found = documents.resource_list(catalogue, words[1], words[2])
        if found is None:
            # Below the paths of its own groups a real server answers with a Status, below those of defined kinds not.
            own = (words[0] == "api" and "" in ours) or (words[0] == "apis" and len(words) > 1 and words[1] in ours)
            raise status.path_not_found() if own else status.NoSuchPath()
        return responses.document(request, found)


def _get_only(request: web.BaseRequest) -> None:
    """Refuse HEAD, as upstream's routes do, which other handlers there take for GET."""
    if request.method == "HEAD":
        raise status.no_such_method()


def _group_paths(catalogue: Catalogue) -> list[str]:
    return [f"apis/{g}/{v}" if g else f"api/{v}" for g, vs in catalogue.versions().items() for v in vs]


def _paths(catalogue: Catalogue) -> list[str]:
    groups = [f"/apis/{group}" for group in catalogue.versions() if group]
    metered = ["/metrics", "/metrics/slis"]
    fixed = ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    return sorted({*fixed, *metered, *groups, *(f"/{path}" for path in _group_paths(catalogue))})
