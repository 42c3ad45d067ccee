"""The proxy subresource of pods, services and nodes: any request, handed on to what listens there."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from apimachinery.meta import status
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.streams.forward import Forwarder, Sent, Unreachable
from controlplane.apiserver.streams.headers import request_headers
from controlplane.apiserver.streams.location import Locator
from controlplane.apiserver.streams.relay import relay
from controlplane.apiserver.streams.rewrite import Rewriting
from controlplane.apiserver.streams.target import Target


class Proxy:
    """Serves `…/proxy` and `…/proxy/PATH`."""

    def __init__(self, locator: Locator, forwarder: Forwarder) -> None:
        self._locator, self._forwarder = locator, forwarder

    async def serve(self, request: web.BaseRequest, info: RequestInfo, call: Call) -> web.StreamResponse:
        """The backend's answer. Raises ApiError 400, 404, 503."""
        match call.resource.plural:
            case "pods":
                target = await self._locator.pod(call.namespace, call.name)
            case "services":
                target = await self._locator.service(call.namespace, call.name)
            case _:
                target = await self._locator.node(call.name)
        whole = request.rel_url.raw_path
        path = _backend_path(whole, info.rest)
        query = request.rel_url.raw_query_string
        if is_upgrade(request):
            headers = request_headers(request, upgrade=True)
            return await relay(request, target, Sent(request.method, path or "/", query, headers, request.host))
        if not path and request.method in ("GET", "HEAD"):
            # A page at the root has links relative to the root: its address must end in a slash.
            location = f"{whole}/" + (f"?{query}" if query else "")
            return web.Response(status=301, headers={"Location": location})
        return await self._plain(request, call, target, path or "/", query)

    async def _plain(
        self, request: web.BaseRequest, call: Call, target: Target, path: str, query: str
    ) -> web.StreamResponse:
        headers = request_headers(request)
        prefix = request.rel_url.raw_path.removesuffix(path).rstrip("/")
        headers["X-Forwarded-Uri"] = prefix + path
        rewriting = Rewriting(prefix, frozenset({target.authority, target.host, request.host}))
        sent = Sent(request.method, path, query, headers, request.host)

        def passed(location: str) -> bool:
            # A node agent must not send the administrator's client elsewhere; pods and services are their owners'.
            return call.resource.plural != "nodes" or not rewriting.leaves(location)

        try:
            return await self._forwarder.forward(request, target, sent, rewriting=rewriting, redirects=passed)
        except Unreachable as error:
            raise status.service_unavailable(f"error trying to reach service: {error}") from None


def is_upgrade(request: web.BaseRequest) -> bool:
    """Whether the client asks to speak another protocol on this connection."""
    return "upgrade" in request.headers.get("Connection", "").lower()


def _backend_path(whole: str, rest: str) -> str:
    """The path at the backend, as encoded as it came; "" for the bare subresource. rest: what follows `proxy`."""
    words = [word for word in rest.split("/") if word and word != "."]
    path = "/" + "/".join(words) if words else ""
    if whole.endswith("/"):
        path += "/"
    return path


def encoded(*words: str) -> str:
    """The words as segments of a path."""
    return "".join("/" + quote(word, safe="") for word in words)
