"""Finding the node agent behind a pod or node, and handing the request to it (pkg/registry/core/pod/strategy.go)."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from apimachinery.api.catalogue import NODES, PODS
from apimachinery.meta import status
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.streams.addresses import proxyable_address
from controlplane.apiserver.streams.forward import Target, forward
from controlplane.apiserver.streams.relay import relay

Object = dict[str, Any]

KUBELET_PORT = 10250
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_LOG_OPTIONS = (
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
)
# The API's names of exec's and attach's options, and the node agent's.
_STREAM_OPTIONS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
_TRUE = ("1", "t", "T", "true", "TRUE", "True")


class NodeStreams:
    """log, exec, attach, portforward of pods; proxy of nodes. `tls`: the kubelet client's context."""

    def __init__(self, registry: Registry, tls: ssl.SSLContext, address_types: Sequence[str]) -> None:
        self._registry, self._tls, self._address_types = registry, tls, address_types

    async def serve(self, request: web.BaseRequest, info: RequestInfo, call: Call) -> web.StreamResponse:
        """The node agent's answer. Raises ApiError 400, 404, 503."""
        if call.resource.plural == "nodes":
            return await self._node_proxy(request, info, call)
        if call.resource.plural != "pods" or call.subresource == "proxy":
            raise status.method_not_allowed(call.resource, f"proxying to {call.resource.plural}")
        pod = await self._registry.of(PODS).store.get(call.namespace, call.name)
        node = (pod.get("spec") or {}).get("nodeName") or ""
        where = "/".join(quote(part, safe="") for part in (call.namespace, call.name))
        if call.subresource == "portforward":
            query = [("port", port) for port in request.query.getall("ports", [])]
            path = f"/portForward/{where}"
            return await self._upgraded(request, call, node, path, query)
        container = _container(call, pod)
        if call.subresource == "log":
            if not node:
                return web.Response(text="")
            query = [(name, request.query[name]) for name in _LOG_OPTIONS if name in request.query]
            path = f"/containerLogs/{where}/{quote(container, safe='')}"
            return await forward(request, await self._target(node), path, query, checked=True)
        query = [(theirs, "1") for ours, theirs in _STREAM_OPTIONS if request.query.get(ours) in _TRUE]
        query += [("command", word) for word in request.query.getall("command", [])]
        return await self._upgraded(
            request, call, node, f"/{call.subresource}/{where}/{quote(container, safe='')}", query
        )

    async def _upgraded(
        self, request: web.BaseRequest, call: Call, node: str, path: str, query: list[tuple[str, str]]
    ) -> web.StreamResponse:
        if not node:
            raise status.bad_request(f"pod {call.name} does not have a host assigned")
        if "upgrade" not in request.headers.get("Connection", "").lower():
            raise status.bad_request("Upgrade request required")
        target = await self._target(node)
        return await relay(request, target, f"{path}?{urlencode(query)}" if query else path)

    async def _node_proxy(self, request: web.BaseRequest, info: RequestInfo, call: Call) -> web.StreamResponse:
        scheme_name_port = call.name.split(":")
        name = scheme_name_port[0] if len(scheme_name_port) < 3 else scheme_name_port[1]
        target = await self._target(name)
        target = replace(target, host=await proxyable_address(target.host, target.port))
        query = list(request.query.items())
        path = "/" + info.rest
        if "upgrade" in request.headers.get("Connection", "").lower():
            return await relay(request, target, f"{path}?{urlencode(query)}" if query else path)
        return await forward(request, target, path, query)

    async def _target(self, node: str) -> Target:
        found = await self._registry.of(NODES).store.get("", node)
        state = found.get("status") or {}
        addresses = {each["type"]: each["address"] for each in reversed(state.get("addresses") or [])}
        host = next((addresses[kind] for kind in self._address_types if addresses.get(kind)), "")
        if not host:
            raise status.internal(f"no preferred addresses found; known addresses: {list(addresses.values())}")
        port = ((state.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT
        return Target(host, port, self._tls)


def _container(call: Call, pod: Object) -> str:
    spec = pod.get("spec") or {}
    names = [each["name"] for each in spec.get("containers") or []]
    inits = [each["name"] for each in spec.get("initContainers") or []]
    others = inits + [each["name"] for each in spec.get("ephemeralContainers") or []]
    asked = call.query.get("container", "")
    if asked:
        if asked in names or asked in others:
            return asked
        raise status.bad_request(f"container {asked} is not valid for pod {call.name}")
    if len(names) == 1:
        return str(names[0])
    default = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    if default in names:
        return str(default)
    text = f"a container name must be specified for pod {call.name}, choose one of: [{' '.join(names)}]"
    if inits:
        text += f" or one of the init containers: [{' '.join(inits)}]"
    raise status.bad_request(text)
