"""Everything that is no resource: health, version, metrics, discovery, OpenAPI, the token issuer's keys."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.schema import SCHEMA
from apimachinery.kit import metrics
from apimachinery.meta import status
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.discovery import documents
from controlplane.apiserver.discovery.version import version_info
from controlplane.apiserver.front import responses
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.resources import Resources

Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at is unwell; the text says why."""

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_OPENAPI_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_ANSWERED = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"  # a media type holds no "@"
# Document{swagger: "2.0", info: {title: "Kubernetes", version: "v1.32.0"}} of gnostic's openapi.v2, no definitions.
# kubectl asks for it in this form alone, and only to check a `kind: List` itself; it passes over what it finds no
# definition for, and the server checks each item strictly.
_NO_DEFINITIONS = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.32.0"
_HEALTH = ("/healthz", "/livez", "/readyz")


class Routes:
    """The last step of every request. checks: name → check, for the health paths."""

    def __init__(
        self,
        resources: Resources,
        checks: Mapping[str, Check],
        address: str,
        issuer_documents: Mapping[str, Any],
    ) -> None:
        self._resources, self._checks, self._address = resources, checks, address
        self._issuer = issuer_documents

    async def serve(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """Raises ApiError."""
        if info.is_resource:
            return await self._resources.serve(request, info, user)
        path = info.path.rstrip("/") or "/"
        if "/" + path.split("/")[1] in _HEALTH:
            return await self._health(request, path)
        if request.method not in ("GET", "HEAD"):
            raise status.ApiError(
                405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
            )
        match path:
            case "/version":
                return responses.document(request, version_info())
            case "/metrics":
                return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})
            case "/":
                return responses.document(request, {"paths": _paths()})
            case "/openapi/v2":
                if _OPENAPI_V2_PROTOBUF in request.headers.get("Accept", ""):
                    return web.Response(body=_NO_DEFINITIONS, headers={"Content-Type": _ANSWERED})
                return _cached(request, _openapi_v2())
            case "/openapi/v3":
                return responses.document(request, {"paths": _openapi_index()})
        if path in self._issuer:
            return responses.document(request, self._issuer[path])
        if path.startswith("/openapi/v3/"):
            return _cached(request, _openapi_v3(path.removeprefix("/openapi/v3/")))
        return self._discover(request, path)

    def _discover(self, request: web.BaseRequest, path: str) -> web.Response:
        words = path.strip("/").split("/")
        wants = request.headers.get("Accept", "").replace(" ", "")
        found: Any = None
        if words == ["api"] or words == ["apis"]:
            if "as=APIGroupDiscoveryList" in wants and ("v=v2;" in wants + ";" or "v=v2," in wants):
                response = _cached(request, _aggregated(words == ["api"]))
                response.headers["Content-Type"] = _AGGREGATED
                return response
            found = documents.api_versions(self._address) if words == ["api"] else documents.group_list()
        elif words[0] == "api" and len(words) == 2:
            found = documents.resource_list("", words[1])
        elif words[0] == "apis" and len(words) == 2:
            found = documents.group(words[1])
        elif words[0] == "apis" and len(words) == 3:
            found = documents.resource_list(words[1], words[2])
        if found is None:
            raise status.path_not_found()
        return responses.document(request, found)

    async def _health(self, request: web.BaseRequest, path: str) -> web.Response:
        name, _, one = path.strip("/").partition("/")
        checks = dict(self._checks)
        if name == "livez":
            checks.pop("informer-sync", None)
        if one:
            if one not in checks:
                return responses.text("404 page not found\n", 404)
            checks = {one: checks[one]}
        excluded = set(request.query.getall("exclude", []))
        lines, healthy = [], True
        for check, run in checks.items():
            if check in excluded:
                lines.append(f"[+]{check} excluded: ok")
                continue
            try:
                await run()
                lines.append(f"[+]{check} ok")
            except Exception:
                healthy = False
                lines.append(f"[-]{check} failed: reason withheld")
        if not healthy:
            return responses.text("\n".join([*lines, f"{name} check failed", ""]), 500)
        if "verbose" in request.query:
            return responses.text("\n".join([*lines, f"{name} check passed", ""]))
        return responses.text("ok")


def _cached(request: web.BaseRequest, data: bytes) -> web.Response:
    """A response that clients may keep: with an ETag, and 304 when they have it."""
    tag = f'"{hashlib.sha512(data).hexdigest().upper()}"'
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers={"Etag": tag})
    return responses.body(request, data, headers={"Etag": tag, "Vary": "Accept"})


@lru_cache(maxsize=2)
def _aggregated(core: bool) -> bytes:
    return orjson.dumps(documents.aggregated(core))


@lru_cache(maxsize=1)
def _openapi_v2() -> bytes:
    return orjson.dumps(SCHEMA.openapi_v2())


@lru_cache(maxsize=4)
def _openapi_v3(path: str) -> bytes:
    prefix, _, rest = path.partition("/")
    try:
        if prefix not in ("api", "apis") or (prefix == "api") is not ("/" not in rest):
            raise KeyError(path)
        return orjson.dumps(SCHEMA.openapi_v3(rest))
    except KeyError:
        raise status.path_not_found() from None


def _group_paths() -> list[str]:
    return [f"apis/{g}/{v}" if g else f"api/{v}" for g, vs in CATALOGUE.versions().items() for v in vs]


@lru_cache(maxsize=1)
def _openapi_index() -> dict[str, Any]:
    # A hash of the served version: the documents never change while a server runs.
    tag = hashlib.sha512(repr(version_info()).encode()).hexdigest().upper()[:64]
    return {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={tag}"} for path in _group_paths()}


@lru_cache(maxsize=1)
def _paths() -> list[str]:
    groups = [f"/apis/{group}" for group in CATALOGUE.versions() if group]
    fixed = ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    return sorted({*fixed, *groups, *(f"/{path}" for path in _group_paths())})
