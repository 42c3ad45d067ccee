"""From an APIService to the address of its server and the TLS spoken with it."""

from __future__ import annotations

import base64
import binascii
import random
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from msgspec.structs import replace

from apimachinery.api.catalogue import ENDPOINTSLICES, SERVICES
from apimachinery.kit import tls
from apimachinery.meta import fields, labels, status
from apimachinery.meta.endpoints import SERVICE_NAME
from controlplane.apiserver.aggregation.apiservices import service_of
from controlplane.apiserver.registry.options import ListOptions
from controlplane.apiserver.registry.read import list_page
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.streams.target import Target

Object = dict[str, Any]

_ROUTED = ("ClusterIP", "LoadBalancer", "NodePort")


class Unresolved(Exception):
    """There is no address to dial now. The text says why."""


class BadTransport(Exception):
    """The APIService's caBundle, or the front proxy's certificate, is none."""


def service_port(service: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """The Service's port of that number. Raises Unresolved."""
    for port in (service.get("spec") or {}).get("ports") or []:
        if port.get("port") == number:
            found: Mapping[str, Any] = port
            return found
    raise Unresolved(f'no service port {number} found for service "{service["metadata"]["name"]}"')


def cluster_address(service: Mapping[str, Any], number: int) -> tuple[str, int]:
    """Where the cluster's network answers for a Service (upstream's ResolveCluster). Raises Unresolved."""
    spec = service.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    if kind == "ExternalName":
        return str(spec.get("externalName") or ""), number
    if kind not in _ROUTED:
        raise Unresolved(f'unsupported service type "{kind}"')
    if kind == "ClusterIP" and spec.get("clusterIP") == "None":
        raise Unresolved('cannot route to service with ClusterIP "None"')
    service_port(service, number)
    return str(spec.get("clusterIP") or ""), number


def is_ready(endpoint: Mapping[str, Any]) -> bool:
    """Whether an EndpointSlice's endpoint takes traffic; unknown counts as ready."""
    return (endpoint.get("conditions") or {}).get("ready") is not False


def endpoint_address(service: Mapping[str, Any], slices: Sequence[Mapping[str, Any]], number: int) -> tuple[str, int]:
    """A random ready endpoint, preferably of the Service's first IP family (ResolveEndpoint). Raises Unresolved."""
    spec = service.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    if kind not in _ROUTED:
        raise Unresolved(f'unsupported service type "{kind}"')
    name = service_port(service, number).get("name") or ""
    families = spec.get("ipFamilies") or [""]
    shuffled = random.sample(list(slices), len(slices))
    for each in sorted(shuffled, key=lambda found: found.get("addressType") != families[0]):
        ready = [endpoint for endpoint in each.get("endpoints") or [] if is_ready(endpoint)]
        for port in each.get("ports") or []:
            if (port.get("name") or "") == name and port.get("port") and ready:
                return str(random.choice(ready)["addresses"][0]), int(port["port"])
    raise Unresolved(f'no endpoints available for service "{service["metadata"]["name"]}"')


class Resolver:
    """to_endpoints: --enable-aggregator-routing, for a server that the cluster's service network does not reach.

    cert, key: --proxy-client-cert-file and its key; read anew when they change.
    """

    def __init__(self, registry: Registry, *, to_endpoints: bool, cert: Path | None, key: Path | None) -> None:
        self._registry, self._to_endpoints = registry, to_endpoints
        self._cert, self._key = cert, key
        self._contexts: dict[tuple[str, bool], tuple[tuple[int, ...], ssl.SSLContext]] = {}

    async def service(self, api: Mapping[str, Any]) -> Object | None:
        """The Service behind it, or None when there is none."""
        reference = service_of(api)
        assert reference is not None
        return await self._registry.of(SERVICES).store.find(reference["namespace"], reference["name"])

    async def slices(self, namespace: str, name: str) -> list[Object]:
        """The EndpointSlices of a Service."""
        chosen = Selection(labels.from_set({SERVICE_NAME: name}), fields.Selector(()))
        page = await list_page(self._registry.of(ENDPOINTSLICES), namespace, chosen, ListOptions())
        return [orjson.loads(entry.served) for entry in page.page.entries]

    async def target(self, api: Mapping[str, Any], *, verified: bool = True) -> Target:
        """Whom to dial. verified: whether its certificate must hold, unless the APIService says otherwise. Raises
        Unresolved, BadTransport, ApiError."""
        reference = service_of(api)
        assert reference is not None
        name, namespace, number = reference["name"], reference["namespace"], int(reference.get("port") or 443)
        service = await self.service(api)
        if service is None:
            raise Unresolved(status.not_found("services", name).message)
        if self._to_endpoints:
            host, port = endpoint_address(service, await self.slices(namespace, name), number)
        else:
            host, port = cluster_address(service, number)
        context = self._context(api, verified=verified)
        return replace(Target(host, port, context), server_name=f"{name}.{namespace}.svc")

    def _context(self, api: Mapping[str, Any], *, verified: bool) -> ssl.SSLContext:
        spec = api["spec"]
        insecure = not verified or bool(spec.get("insecureSkipTLSVerify"))
        bundle = "" if insecure else str(spec.get("caBundle") or "")
        try:
            files = [path for path in (self._cert, self._key) if path is not None]
            state = tuple(number for path in files for number in (path.stat().st_mtime_ns, path.stat().st_ino))
            kept = self._contexts.get((bundle, insecure))
            if kept is not None and kept[0] == state:
                return kept[1]
            if insecure:
                context = tls.unverified_client_context(self._cert, self._key)
            else:
                authority = base64.b64decode(bundle) if bundle else None
                context = tls.client_context(authority, self._cert, self._key)
        except (OSError, ssl.SSLError, ValueError, binascii.Error) as error:
            raise BadTransport(f"unable to load root certificates: {error}") from None
        self._contexts[bundle, insecure] = state, context
        while len(self._contexts) > 256:
            del self._contexts[next(iter(self._contexts))]
        return context
