"""The `kubernetes` Service and its endpoints: how pods find the API servers.

As upstream's pkg/controlplane/controller/kubernetesservice and its lease reconciler: every server says that it lives by
a key that expires."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson

from apimachinery.api.catalogue import ENDPOINTS, ENDPOINTSLICES, SERVICES, Resource
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.allocator import AddressPool, PortPool, Taken
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.storage.interface import KeyExists, KeyMissing, RevisionMismatch, Storage, StorageError
from controlplane.apiserver.strategies.service import addresses_of, node_ports
from controlplane.apiserver.strategies.service_families import family_of

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAME, NAMESPACE = "kubernetes", "default"
PERIOD = 10.0  # seconds between two rounds
REPAIR_EVERY = 18  # rounds: three minutes, as upstream's repair loops
_LEASE_PREFIX = "/registry/masterleases/"
_LEASE_SECONDS = 15


class KubernetesService:
    """Runs beside the server: `ensure` once before it is ready, then `run`."""

    def __init__(
        self, registry: Registry, storage: Storage, addresses: Sequence[AddressPool], ports: PortPool, clock: Clock,
        *, advertise: str, port: int, node_port: int = 0,
    ) -> None:  # fmt: skip
        self._registry, self._storage, self._clock = registry, storage, clock
        self._addresses, self._ports = addresses, ports
        self._advertise, self._port, self._node_port = advertise, port, node_port
        self._suspects: dict[str, set[int]] = {}
        self._withdrawn = False

    async def ensure(self) -> None:
        """The Service, this server's lease, and the endpoints of all that live. Raises ApiError, StorageError."""
        await self._service()
        if not self._withdrawn:
            await self._renew()
        await self._publish()

    async def _publish(self) -> None:
        page = await self._storage.list(_LEASE_PREFIX)
        alive = sorted(item.key[len(_LEASE_PREFIX) :] for item in page.items)
        if not alive:
            return  # the last to go stays in the endpoints, as upstream: they are never emptied
        await self._write(ENDPOINTS, render_endpoints(alive, self._port))
        await self._write(ENDPOINTSLICES, render_slice(alive, self._port))

    async def run(self) -> None:
        """Until cancelled."""
        rounds = 0
        while True:
            try:
                if rounds % REPAIR_EVERY == 0:
                    await self._repair()
                await self.ensure()
            except (StorageError, status.ApiError) as error:
                log.warning("the kubernetes service could not be reconciled: %s", error)
            rounds += 1
            await self._clock.sleep(PERIOD)

    async def withdraw(self) -> None:
        """This server is going: it is no longer one of the endpoints, though it may serve for a while yet. Raises
        ApiError, StorageError."""
        self._withdrawn = True
        stored = await self._storage.get(_LEASE_PREFIX + self._advertise)
        if stored is not None:
            try:
                await self._storage.delete(stored.key, stored.mod_revision)
            except (KeyMissing, RevisionMismatch):
                pass
            await self._publish()

    async def _service(self) -> None:
        store = self._registry.of(SERVICES).store
        have = await store.find(NAMESPACE, NAME)
        if have is not None:
            return
        pool = self._addresses[0]
        try:
            await pool.claim(pool.first, NAME)
        except Taken:
            pass  # another server is making the same Service
        if self._node_port:
            try:
                await self._ports.claim(self._node_port, NAME)
            except Taken:
                pass  # likewise
        service = render_service(pool.spell(pool.first), self._port, self._node_port)
        metadata.fill_created(store.resource, service, self._clock.now())
        try:
            await store.create(service)
        except status.ApiError as error:
            if not status.is_already_exists(error):
                raise

    async def _renew(self) -> None:
        key, value = (
            _LEASE_PREFIX + self._advertise,
            orjson.dumps({"kind": "Endpoints", "apiVersion": "v1", "metadata": {}}),
        )
        stored = await self._storage.get(key)
        try:
            if stored is None:
                await self._storage.create(key, value, _LEASE_SECONDS)
            else:
                await self._storage.update(key, value, stored.mod_revision, _LEASE_SECONDS)
        except (KeyExists, KeyMissing, RevisionMismatch):
            pass  # a server that shares the address was quicker

    async def _write(self, resource: Resource, want: Object) -> None:
        store = self._registry.of(resource).store
        have = await store.find(NAMESPACE, NAME)
        try:
            if have is None:
                metadata.fill_created(store.resource, want, self._clock.now())
                await store.create(want)
                return
            content = {key: value for key, value in want.items() if key != "metadata"}
            await store.replace({**have, **content}, have)
        except status.ApiError as error:
            if not (status.is_already_exists(error) or status.is_conflict(error)):
                raise

    async def _repair(self) -> None:
        services = await self._registry.of(SERVICES).store.all()
        addresses = [address for service in services for address in addresses_of(service)]
        for pool in self._addresses:
            mine = [pool.parse(address) for address in addresses if family_of(address) == pool.family]
            self._suspects[pool.family] = await pool.repair(mine, self._suspects.get(pool.family, set()))
        ports = [port for service in services for port in node_ports(service).values()]
        self._suspects[""] = await self._ports.repair(ports, self._suspects.get("", set()))


def render_service(address: str, port: int, node_port: int = 0) -> Object:
    """The Service as upstream makes it. node_port: 0 for none."""
    exposed = {"nodePort": node_port} if node_port else {}
    of_nodes = {"externalTrafficPolicy": "Cluster"} if node_port else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            **of_nodes,
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port, **exposed}],
            "sessionAffinity": "None",
            "type": "NodePort" if node_port else "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }


def render_endpoints(addresses: list[str], port: int) -> Object:
    """The Endpoints: every living API server."""
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "subsets": [
            {
                "addresses": [{"ip": address} for address in addresses],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }


def render_slice(addresses: list[str], port: int) -> Object:
    """The EndpointSlice beside it."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
