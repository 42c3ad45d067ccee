"""Services: cluster addresses and node ports are claimed before the write and given back if it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.validation.go_values import go_strings
from apimachinery.api.validation.service_addresses import cluster_addresses
from apimachinery.api.validation.services import needs_health_check
from apimachinery.meta import status
from apimachinery.meta.paths import Path, Problem, invalid
from controlplane.apiserver.registry.allocator import AddressPool, Exhausted, Pool, PortPool, Taken
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy, keep
from controlplane.apiserver.strategies.service_families import family_of, settle_families
from controlplane.apiserver.strategies.service_fields import drop_unused, keep_node_ports, settle_addresses

_CLUSTER_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
_PORT_TYPES = ("NodePort", "LoadBalancer")
_PORT_TAKEN = "provided port is already allocated"


def addresses_of(service: Mapping[str, Any]) -> list[str]:
    """The cluster addresses, one of each family; none of a headless Service or one without."""
    spec = service.get("spec") or {}
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [address for address in found if address and address != "None"]


def node_ports(service: Mapping[str, Any]) -> dict[tuple[int, str], int]:
    """Position and protocol of each port that has a node port → the node port; the health check's at (-1, "")."""
    spec = service.get("spec") or {}
    found = {
        (position, port.get("protocol") or "TCP"): port["nodePort"]
        for position, port in enumerate(spec.get("ports") or [])
        if port.get("nodePort")
    }
    if spec.get("healthCheckNodePort"):
        found[(-1, "")] = spec["healthCheckNodePort"]
    return found


class ServiceStrategy(Strategy):
    """`services`. addresses: of each family that the cluster has, the default one first."""

    def __init__(self, resource: Resource, addresses: Sequence[AddressPool], ports: PortPool) -> None:
        super().__init__(resource)
        self.addresses, self.ports = addresses, ports

    def prepare_create(self, call: Call, obj: Object) -> None:
        obj["status"] = {"loadBalancer": {}}
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        keep(new, old, "status")
        spec, before = new["spec"], old["spec"]
        if spec.get("type") != "LoadBalancer":
            new["status"] = {**(new.get("status") or {}), "loadBalancer": {}}
        settle_addresses(spec, before)
        drop_unused(spec, before)
        if spec.get("type") != "ExternalName" and before.get("type") != "ExternalName":
            # A client that never knew the address does not mean to give it up.
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if not spec.get(field) and before.get(field):
                    keep(spec, before, field)
        keep_node_ports(spec, before)

    def claim(self, call: Call, new: Object, old: Object | None) -> AbstractAsyncContextManager[None]:
        return self._claim(call, new, old)

    @asynccontextmanager
    async def _claim(self, call: Call, new: Object, old: Object | None) -> AsyncIterator[None]:
        async with AsyncExitStack() as undo:
            await self._claim_addresses(call, new, old, undo)
            await self._claim_ports(call, new, old, undo)
            yield
            if not call.dry_run:
                undo.pop_all()
        if old is not None and not call.dry_run:
            await self._give_back(old, new)

    async def released(self, obj: Object) -> None:
        await self._give_back(obj, {})

    async def _give_back(self, old: Object, new: Object) -> None:
        for address in set(addresses_of(old)) - set(addresses_of(new)):
            pool = self._pool(family_of(address))
            if pool is not None:  # the cluster may have had that family once
                await pool.release(pool.parse(address))
        for port in set(node_ports(old).values()) - set(node_ports(new).values()):
            await self.ports.release(port)

    async def _claim_addresses(self, call: Call, new: Object, old: Object | None, undo: AsyncExitStack) -> None:
        spec, name = new["spec"], new["metadata"]["name"]
        if spec.get("type", "ClusterIP") not in _CLUSTER_TYPES:
            return
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        before = None if old is None or old["spec"].get("type") == "ExternalName" else old["spec"]
        # What is no address, or does not fit the others, is refused as such before it is looked for in a range.
        problems = cluster_addresses(spec) or settle_families(spec, before, [pool.family for pool in self.addresses])
        if problems:
            raise self._refuse(name, problems)
        if (spec.get("clusterIPs") or [""])[0] != "None":
            held = addresses_of(old) if old is not None else []
            asked = [*(spec.get("clusterIPs") or ()), "", ""]
            spec["clusterIPs"] = [
                await self._address(call, spec, name, family, asked[position], held, undo)
                for position, family in enumerate(spec["ipFamilies"])
            ]
        spec["clusterIP"] = spec["clusterIPs"][0]

    async def _address(
        self, call: Call, spec: Object, name: str, family: str, asked: str, held: list[str], undo: AsyncExitStack
    ) -> str:
        """The address of one family: the one that the Service has or asks for, or any."""
        pool = self._pool(family)
        if asked in held or pool is None:
            return asked
        if not asked:
            try:
                number = await pool.claim_any(name)
            except Exhausted:
                raise status.internal("failed to allocate a serviceIP: range is full") from None
            undo.push_async_callback(pool.release, number)
            return pool.spell(number)
        wanted = _number(pool, asked)
        path, shown, failed = Path("spec").child("clusterIPs"), go_strings(spec["clusterIPs"]), "failed to allocate IP "
        if wanted is None:
            # Programs read the cluster's range out of this sentence.
            why = f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {pool.network}"
            raise self._refuse(name, [invalid(path, shown, f"{failed}{asked}: {why}")])
        taken = invalid(path, shown, f"{failed}{asked}: provided IP is already allocated")
        await self._take(pool, wanted, name, undo, call, taken)
        return pool.spell(wanted)

    def _pool(self, family: str) -> AddressPool | None:
        return next((pool for pool in self.addresses if pool.family == family), None)

    async def _claim_ports(self, call: Call, new: Object, old: Object | None, undo: AsyncExitStack) -> None:
        held = set(node_ports(old).values()) if old is not None else set()
        if new["spec"].get("type") in _PORT_TYPES:
            await self._claim_node_ports(call, new, old is None, held, undo)
        if needs_health_check(new["spec"]):
            await self._claim_health_check(call, new, held, undo)

    async def _claim_node_ports(
        self, call: Call, new: Object, created: bool, held: set[int], undo: AsyncExitStack
    ) -> None:
        spec, name = new["spec"], new["metadata"]["name"]
        # Without these ports a balancer still gets those that are asked for by number.
        wanted = spec["type"] != "LoadBalancer" or spec.get("allocateLoadBalancerNodePorts") is not False
        ports = spec.get("ports") or []
        # A new Service has one node port for a port that serves TCP and UDP; a changed one gets one for each.
        shared = {port.get("port"): port["nodePort"] for port in reversed(ports) if port.get("nodePort")}
        mine: set[int] = set()
        for position, port in enumerate(ports):
            if not port.get("nodePort") and not wanted:
                continue
            number = port.get("nodePort") or (shared.get(port.get("port")) if created else None)
            if number and number not in held and number not in mine:
                path = Path("spec").child("ports").index(position).child("nodePort")
                if number not in self.ports:
                    raise self._refuse(name, [invalid(path, number, self._out_of_range())])
                await self._take(self.ports, number, name, undo, call, invalid(path, number, _PORT_TAKEN))
            port["nodePort"] = number or await self._any_port(name, undo)
            mine.add(port["nodePort"])
            shared.setdefault(port.get("port"), port["nodePort"])

    async def _claim_health_check(self, call: Call, new: Object, held: set[int], undo: AsyncExitStack) -> None:
        spec, name = new["spec"], new["metadata"]["name"]
        number = spec.get("healthCheckNodePort")
        if not number:
            spec["healthCheckNodePort"] = await self._any_port(name, undo)
        elif number not in held:
            failed = f"failed to allocate requested HealthCheck NodePort {number}: "
            if number not in self.ports:
                raise status.internal(failed + self._out_of_range())
            try:
                await self.ports.claim(number, name)
            except Taken:
                raise status.internal(failed + _PORT_TAKEN) from None
            undo.push_async_callback(self.ports.release, number)

    def _out_of_range(self) -> str:
        low, high = self.ports.first, self.ports.first + self.ports.size - 1
        return f"provided port is not in the valid range. The range of valid ports is {low}-{high}"

    async def _any_port(self, name: str, undo: AsyncExitStack) -> int:
        try:
            number = await self.ports.claim_any(name)
        except Exhausted:
            raise status.internal("failed to allocate a nodePort: range is full") from None
        undo.push_async_callback(self.ports.release, number)
        return number

    async def _take(
        self, pool: Pool, number: int, name: str, undo: AsyncExitStack, call: Call, problem: Problem
    ) -> None:
        try:
            await pool.claim(number, name)
        except Taken:
            raise self._refuse(name, [problem]) from None
        undo.push_async_callback(pool.release, number)

    def _refuse(self, name: str, problems: list[Problem]) -> status.ApiError:
        return status.invalid(self.resource, name, problems)

    def fields(self, obj: Object) -> Mapping[str, str]:
        spec = obj.get("spec") or {}
        return {
            **super().fields(obj),
            "spec.clusterIP": spec.get("clusterIP") or "",
            "spec.type": spec.get("type") or "",
        }


def _number(pool: AddressPool, text: str) -> int | None:
    try:
        number = pool.parse(text)
    except ValueError:
        return None
    return number if number in pool else None
