"""log, exec, attach and portforward of pods: handed on to the node agent (pkg/registry/core/pod/strategy.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from apimachinery.api.catalogue import PODS
from apimachinery.meta import status, times
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.websockets import is_websocket
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.streams.forward import Answered, Forwarder, Sent, Unreachable
from controlplane.apiserver.streams.headers import request_headers, without_handshake
from controlplane.apiserver.streams.location import Locator
from controlplane.apiserver.streams.proxy import Proxy, encoded, is_upgrade
from controlplane.apiserver.streams.relay import relay
from controlplane.apiserver.streams.upgrade import failure

Object = dict[str, Any]

# The API's names of exec's and attach's options, and the node agent's.
_STREAM_OPTIONS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
_LOG_FLAGS = ("follow", "previous", "timestamps")
_LOG_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
_LOG_STREAMS = ("All", "Stderr", "Stdout")


class NodeStreams:
    """log, exec, attach, portforward of pods; proxy of pods, services and nodes."""

    def __init__(self, registry: Registry, locator: Locator, forwarder: Forwarder) -> None:
        self._registry, self._locator, self._forwarder = registry, locator, forwarder
        self._proxy = Proxy(locator, forwarder)

    async def serve(self, request: web.BaseRequest, info: RequestInfo, call: Call) -> web.StreamResponse:
        """The node agent's answer. Raises ApiError 400, 404, 422, 500, 503."""
        if call.subresource == "proxy":
            return await self._proxy.serve(request, info, call)
        if call.subresource == "log":
            return await self._log(request, call)
        pod = await self._registry.of(PODS).store.get(call.namespace, call.name)
        if call.subresource == "portforward":
            ports = ",".join(str(port) for port in _ports(request.query.getall("ports", [])))
            query = [("port", ports)] if ports else []
            return await self._upgraded(request, call, pod, encoded("portForward", call.namespace, call.name), query)
        container = choose_container(pod, call.query.get("container", ""))
        query = [(theirs, "1") for ours, theirs in _STREAM_OPTIONS if is_set(call.query, ours)]
        query += [("command", word) for word in request.query.getall("command", [])]
        path = encoded(call.subresource, call.namespace, call.name, container)
        return await self._upgraded(request, call, pod, path, query)

    async def _log(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        query = log_query(call)
        pod = await self._registry.of(PODS).store.get(call.namespace, call.name)
        container = choose_container(pod, call.query.get("container", ""))
        node = (pod.get("spec") or {}).get("nodeName") or ""
        if not node:
            return web.Response(status=204)
        verified = not is_set(call.query, "insecureSkipTLSVerifyBackend")
        target = await self._locator.kubelet(node, verified=verified)
        path = encoded("containerLogs", call.namespace, call.name, container)
        headers = without_handshake(request_headers(request))
        headers.popall("Accept-Encoding", None)
        answered: Answered | None = None
        if is_websocket(request):
            from controlplane.apiserver.streams import messages

            answered = messages.answered
        sent = Sent("GET", path, urlencode(query), headers)
        try:
            asked = ("pods/log", call.name)
            return await self._forwarder.forward(request, target, sent, checked=asked, answered=answered)
        except Unreachable as error:
            raise failure(f'Get "{target.url(path, urlencode(query))}": {error}') from None

    async def _upgraded(
        self, request: web.BaseRequest, call: Call, pod: Object, path: str, query: Sequence[tuple[str, str]]
    ) -> web.StreamResponse:
        node = (pod.get("spec") or {}).get("nodeName") or ""
        if not node:
            raise status.bad_request(f"pod {call.name} does not have a host assigned")
        target = await self._locator.kubelet(node)
        if not is_upgrade(request):
            raise status.bad_request("Upgrade request required")
        sent = Sent(request.method, path, urlencode(query), request_headers(request, upgrade=True))
        if call.subresource == "portforward":
            from controlplane.apiserver.streams import tunnel  # as translate: 3 ms for what few servers are asked

            if tunnel.protocols(request):
                return await tunnel.serve(request, target, sent)
            return await relay(request, target, sent)
        from controlplane.apiserver.streams import translate

        if translate.is_wanted(request):
            options = translate.Options(*(is_set(call.query, ours) for ours, _ in _STREAM_OPTIONS))
            return await translate.serve(request, target, sent, options)
        return await relay(request, target, sent)


def is_set(query: Mapping[str, str], name: str) -> bool:
    """A flag of an options object: absent, "0" and "false" are False, all else is True (runtime/conversion.go)."""
    value = query.get(name)
    return value is not None and value.lower() not in ("0", "false")


def choose_container(pod: Object, asked: str) -> str:
    """The container that is meant. Raises ApiError 400."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    kinds = ("initContainers", "containers", "ephemeralContainers")
    names = [str(each["name"]) for kind in kinds for each in spec.get(kind) or []]
    if asked:
        if asked in names:
            return asked
        raise status.bad_request(f"container {asked} is not valid for pod {name}")
    regular = spec.get("containers") or []
    if len(regular) == 1:
        return str(regular[0]["name"])
    if not regular:
        raise status.bad_request(f"a container name must be specified for pod {name}")
    raise status.bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")


def log_query(call: Call) -> list[tuple[str, str]]:
    """The node agent's query for PodLogOptions. Raises ApiError 400, 422 (validation.ValidatePodLogOptions)."""
    query = [(name, "true") for name in _LOG_FLAGS if is_set(call.query, name)]
    numbers = {name: _number(name, call.query[name]) for name in _LOG_NUMBERS if call.query.get(name)}
    since, stream = call.query.get("sinceTime", ""), call.query.get("stream", "")
    problems: list[Problem] = []
    if numbers.get("tailLines", 0) < 0:
        problems.append(invalid(Path("tailLines"), numbers["tailLines"], "must be greater than or equal to 0"))
    if numbers.get("limitBytes", 1) < 1:
        problems.append(invalid(Path("limitBytes"), numbers["limitBytes"], "must be greater than 0"))
    if "sinceSeconds" in numbers and since:
        problems.append(forbidden(Path(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif numbers.get("sinceSeconds", 1) < 1:
        problems.append(invalid(Path("sinceSeconds"), numbers["sinceSeconds"], "must be greater than 0"))
    if stream and stream not in _LOG_STREAMS:
        problems.append(not_supported(Path("stream"), stream, _LOG_STREAMS))
    if stream in ("Stdout", "Stderr") and "tailLines" in numbers:
        problems.append(forbidden(Path(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
    if problems:
        raise status.invalid("PodLogOptions", call.name, problems)
    query += [(name, str(number)) for name, number in numbers.items()]
    if since:
        try:
            query.append(("sinceTime", times.rfc3339(times.parse(since))))
        except ValueError:
            raise status.bad_request(f'parsing time "{since}" as "2006-01-02T15:04:05Z07:00": cannot parse') from None
    if stream:
        query.append(("stream", stream))
    return query


def _ports(asked: Sequence[str]) -> list[int]:
    return [_number("ports", text) for text in asked]


def _number(name: str, text: str) -> int:
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if not -(1 << 63) <= int(text) < 1 << 63:
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)
