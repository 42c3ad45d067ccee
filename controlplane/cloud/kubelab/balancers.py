"""Addresses of the lab's network for Services of type LoadBalancer, each announced by one node.

There is no machine between client and nodes: a node answers for the address when neighbours ask (nodeagent/speaker),
and its kube-proxy knows the Service by it. What a Service has is written on it, in status.loadBalancer and in an
annotation; from there it is learned again after a restart, so that there is no second book that could say otherwise.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence

from apimachinery.meta import objects
from controlplane.cloud.kubelab.lab import LabFile, Pool
from controlplane.cloud.provider import Balancer, CloudProblem, Host, Object
from controlplane.cloud.service_plan import shown_balancer


class LabBalancers:
    """Hands out the pool's addresses. One at a time: its caller has one worker."""

    def __init__(self, lab: LabFile) -> None:
        self._lab = lab
        self._held: dict[str, Balancer] = {}

    def adopt(self, services: Sequence[Object]) -> None:
        self._held.clear()  # what was known when we led before may be another's by now
        # The older Service keeps an address that two claim, as only a person's hand can have made them.
        for service in sorted(services, key=lambda each: (str(objects.metadata(each).get("creationTimestamp")),
                                                          objects.key(each))):  # fmt: skip
            shown = shown_balancer(service)
            if shown is not None:
                free = tuple(address for address in shown.addresses if address not in self._taken())
                self._held[objects.key(service)] = Balancer(free, shown.node)

    def copy(self) -> LabBalancers:
        other = LabBalancers(self._lab)
        other._held = dict(self._held)
        return other

    async def get(self, service: Object) -> Balancer | None:
        return self._held.get(objects.key(service))

    async def ensure(self, service: Object, hosts: Sequence[Host]) -> Balancer:
        key, spec = objects.key(service), service.get("spec") or {}
        before = self._held.get(key, Balancer((), ""))
        taken = self._taken(but=key)
        addresses = tuple(
            choose_address(pool, taken, asked, had)
            for pool, asked, had in plan_choices(spec, self._lab.load().pools, before.addresses)
        )
        balancer = Balancer(addresses, choose_node(key, hosts, before.node,
                                                   spec.get("externalTrafficPolicy") == "Local"))  # fmt: skip
        self._held[key] = balancer
        return balancer

    async def delete(self, key: str) -> None:
        self._held.pop(key, None)

    def _taken(self, but: str = "") -> set[str]:
        return {address for key, each in self._held.items() if key != but for address in each.addresses}


def plan_choices(
    spec: Object, pools: Mapping[int, Pool], before: Sequence[str]
) -> list[tuple[Pool, str, str]]:  # fmt: skip
    """(pool, address asked for, address it had) of each family that a Service gets an address of, in its own order.

    A Service that only prefers both families does with those that there are (KEP-563). Raises CloudProblem.
    """
    if not pools:
        raise CloudProblem("the lab has no addresses for load balancers: loadBalancers in its lab file")
    names = spec.get("ipFamilies") or ["IPv4"]
    versions = [int(name.removeprefix("IPv")) for name in names]
    there = [version for version in versions if version in pools]
    if not there or (len(there) < len(versions) and spec.get("ipFamilyPolicy") == "RequireDualStack"):
        lacking = next(version for version in versions if version not in pools)
        raise CloudProblem(f"the lab has no IPv{lacking} addresses for load balancers")
    asked = str(spec.get("loadBalancerIP") or "")
    of_asked = _version(asked)
    if asked and of_asked not in there:
        raise CloudProblem(f"loadBalancerIP {asked!r} is not of {', '.join(str(pools[each]) for each in there)}")
    return [
        (
            pools[version],
            asked if version == of_asked else "",
            next((address for address in before if _version(address) == version), ""),
        )
        for version in there
    ]


def choose_address(pool: Pool, taken: set[str], asked: str, before: str) -> str:
    """The address that is asked for, else the one it had, else the first free one of the pool.

    taken: those of other Services. Raises CloudProblem.
    """
    if asked:
        address = ipaddress.ip_address(asked)
        if address not in pool:
            raise CloudProblem(f"loadBalancerIP {asked!r} is not of {pool}")
        if str(address) in taken:
            raise CloudProblem(f"loadBalancerIP {asked} is another Service's")
        return str(address)
    # One that the pool does not have any more stays with its Service: clients know it.
    if before and before not in taken:
        return before
    for free in pool:
        if free not in taken:
            return free
    raise CloudProblem(f"no address of {pool} is free")


def _version(address: str) -> int:
    """4 or 6; 0 for what is no address."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def choose_node(key: str, hosts: Sequence[Host], before: str, local: bool) -> str:
    """Who announces: the node of before while it is as good as any; Services spread over the others. "" for none.

    When no node is ready it stays where it is: the nodes may be well, and only their way to the API server cut.

    local: the Service's externalTrafficPolicy: only a node with a ready endpoint can serve, so those come first.
    """
    ready = [host for host in hosts if host.ready]
    best = [host for host in ready if host.local] if local else []
    names = [host.name for host in best or ready]
    if before in names or (not names and before in [host.name for host in hosts]):
        return before
    # Rendezvous hashing: when a node goes, only its own Services move.
    return max(names, key=lambda name: hashlib.sha256(f"{key}\0{name}".encode()).digest(), default="")
