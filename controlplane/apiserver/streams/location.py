"""Where a proxy subresource leads: `[scheme:]name[:port]` of a pod, a service or a node, and the address behind it.

As upstream's ResourceLocation of each (pkg/registry/core/{pod,service,node}).
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct

from apimachinery.api.catalogue import ENDPOINTS, NODES, PODS, SERVICES
from apimachinery.meta import status
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.streams.addresses import is_proxyable, proxyable_address
from controlplane.apiserver.streams.target import Target

Object = dict[str, Any]

KUBELET_PORT = 10250


class Name(Struct, frozen=True):
    """A proxied object's name, split. scheme: "", "http" or "https". port: a number, a name, or ""."""

    scheme: str
    name: str
    port: str


def split_name(text: str, kind: str) -> Name:
    """`web`, `web:80`, `https:web:443`. Raises ApiError 400. kind: "pod", "service" or "node", for the message."""
    parts = text.split(":")
    match len(parts):
        case 1:
            found = Name("", parts[0], "")
        case 2:
            found = Name("", parts[0], parts[1])
        case 3:
            found = Name(parts[0], parts[1], parts[2])
        case _:
            raise status.bad_request(f'invalid {kind} request "{text}"')
    if not found.name or found.scheme not in ("", "http", "https"):
        raise status.bad_request(f'invalid {kind} request "{text}"')
    return found


def node_address(node: Object, types: Sequence[str]) -> str:
    """The address of the first of `types` that the node reports. Raises ApiError 500."""
    listed = (node.get("status") or {}).get("addresses") or []
    addresses = {each["type"]: each["address"] for each in reversed(listed)}
    host = next((addresses[kind] for kind in types if addresses.get(kind)), "")
    if not host:
        known = "[" + " ".join(f"{{{each['type']} {each['address']}}}" for each in listed) + "]"
        raise status.ApiError(500, "", f"no preferred addresses found; known addresses: {known}")
    return host


def kubelet_port(node: Object) -> int:
    """The port that the node's agent says it listens on."""
    endpoints = (node.get("status") or {}).get("daemonEndpoints") or {}
    return int((endpoints.get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT)


def pod_address(pod: Object) -> str:
    """The pod's address. Raises ApiError 400 for one that must not be dialled, or none."""
    found = (pod.get("status") or {}).get("podIPs") or []
    address = str(found[0].get("ip") or "") if found else ""
    if not address or not _allowed(address):
        raise status.bad_request("address not allowed")
    return address


def pod_port(pod: Object, asked: str) -> int | None:
    """The port asked for, else the first that a container declares; None when there is none. Raises ApiError 400."""
    if asked:
        if not asked.isdecimal() or not 0 < int(asked) < 65536:
            raise status.bad_request(f'invalid port "{asked}"')
        return int(asked)
    containers = (pod.get("spec") or {}).get("containers") or []
    return next((int(each["ports"][0]["containerPort"]) for each in containers if each.get("ports")), None)


def service_port_name(service: Object, asked: str) -> str:
    """The name of the service port that is asked for by name or number. Raises ApiError 503."""
    if not asked.removeprefix("-").isdecimal():
        return asked
    for port in (service.get("spec") or {}).get("ports") or []:
        if port["port"] == int(asked):
            return port.get("name") or ""
    name = service["metadata"]["name"]
    raise status.service_unavailable(f'no service port {int(asked)} found for service "{name}"')


Valid = Callable[[Object], Awaitable[bool]]


async def endpoint(endpoints: Object | None, port: str, request: str, valid: Valid) -> tuple[str, int]:
    """(address, port) of a random endpoint that serves the named port and is `valid`. Raises ApiError 503."""
    subsets = list((endpoints or {}).get("subsets") or [])
    random.shuffle(subsets)
    for subset in subsets:
        addresses = list(subset.get("addresses") or [])
        random.shuffle(addresses)
        for each in subset.get("ports") or []:
            if (each.get("name") or "") != port:
                continue
            for address in addresses:
                if await valid(address):
                    return str(address["ip"]), int(each["port"])
    raise status.service_unavailable(f'no endpoints available for service "{request}"')


class Locator:
    """Finds targets. kubelet_tls: the client context towards node agents; plain_tls: towards pods and services, whose
    certificates are not looked at (nobody could say what they should be signed by)."""

    def __init__(
        self,
        registry: Registry,
        kubelet_tls: ssl.SSLContext,
        kubelet_insecure_tls: ssl.SSLContext,
        plain_tls: ssl.SSLContext,
        address_types: Sequence[str],
    ) -> None:
        self._registry, self._types = registry, address_types
        self._kubelet_tls, self._kubelet_insecure_tls, self._plain_tls = kubelet_tls, kubelet_insecure_tls, plain_tls

    async def kubelet(self, node: str, *, verified: bool = True) -> Target:
        """The agent of a node. verified: whether its certificate is looked at. Raises ApiError 404, 500."""
        found = await self._registry.of(NODES).store.get("", node)
        tls = self._kubelet_tls if verified else self._kubelet_insecure_tls
        return Target(node_address(found, self._types), kubelet_port(found), tls)

    async def node(self, text: str) -> Target:
        """`nodes/NAME/proxy`: the node's agent, or another port of the node. Raises ApiError 400, 404, 500."""
        asked = split_name(text, "node")
        node = await self._registry.of(NODES).store.get("", asked.name)
        address, port = node_address(node, self._types), kubelet_port(node)
        if asked.port in ("", str(port)):
            return Target(await proxyable_address(address, port), port, self._kubelet_tls, address)
        if not asked.port.isdecimal() or not 0 < int(asked.port) < 65536:
            raise status.bad_request(f'invalid node request "{text}"')
        dialled = await proxyable_address(address, int(asked.port))
        return Target(dialled, int(asked.port), self._plain_tls if asked.scheme == "https" else None)

    async def pod(self, namespace: str, text: str) -> Target:
        """`pods/NAME/proxy`. Raises ApiError 400, 404."""
        asked = split_name(text, "pod")
        pod = await self._registry.of(PODS).store.get(namespace, asked.name)
        port = pod_port(pod, asked.port)
        secure = asked.scheme == "https"
        return Target(pod_address(pod), port or (443 if secure else 80), self._plain_tls if secure else None)

    async def service(self, namespace: str, text: str) -> Target:
        """`services/NAME/proxy`: one of its ready endpoints. Raises ApiError 400, 404, 503."""
        asked = split_name(text, "service")
        service = await self._registry.of(SERVICES).store.get(namespace, asked.name)
        port = service_port_name(service, asked.port)
        endpoints = await self._registry.of(ENDPOINTS).store.find(namespace, asked.name)

        async def valid(address: Object) -> bool:
            # Who may write Endpoints must not lead this server to where only it may go.
            reference = address.get("targetRef") or {}
            if reference.get("namespace") != namespace or not reference.get("name"):
                return False
            pod = await self._registry.of(PODS).store.find(namespace, reference["name"])
            ips = [each.get("ip") for each in ((pod or {}).get("status") or {}).get("podIPs") or []]
            return address.get("ip") in ips and _allowed(str(address.get("ip")))

        if not (endpoints or {}).get("subsets"):
            raise status.service_unavailable(f'no endpoints available for service "{asked.name}"')
        host, number = await endpoint(endpoints, port, text, valid)
        return Target(host, number, self._plain_tls if asked.scheme == "https" else None)


def _allowed(address: str) -> bool:
    try:
        return is_proxyable(address)
    except ValueError:
        return False
