"""Addresses of the lab's network for Services of type LoadBalancer, each announced by one node.

There is no machine between client and nodes: a node answers ARP for the address (nodeagent/speaker), and its kube-proxy
knows the Service by it. What a Service has is written on it, in status.loadBalancer and in an annotation; from there it
is learned again after a restart, so that there is no second book that could say otherwise.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence

from apimachinery.meta import objects
from controlplane.cloud.kubelab.lab import LabFile
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
            if shown is not None and shown.address not in self._taken():
                self._held[objects.key(service)] = shown

    async def get(self, service: Object) -> Balancer | None:
        return self._held.get(objects.key(service))

    async def ensure(self, service: Object, hosts: Sequence[Host]) -> Balancer:
        key, pool = objects.key(service), self._lab.load().pool
        spec = service.get("spec") or {}
        if "IPv4" not in (spec.get("ipFamilies") or ["IPv4"]):
            raise CloudProblem("the lab has only IPv4 addresses for load balancers")
        if pool is None:
            raise CloudProblem("the lab has no addresses for load balancers: loadBalancers in its lab file")
        before = self._held.get(key)
        asked = str(spec.get("loadBalancerIP") or "")
        others = {each.address for name, each in self._held.items() if name != key}
        address = choose_address(pool, others, asked, before.address if before is not None else "")
        balancer = Balancer(address, choose_node(key, hosts, before.node if before is not None else "",
                                                 spec.get("externalTrafficPolicy") == "Local"))  # fmt: skip
        self._held[key] = balancer
        return balancer

    async def delete(self, key: str) -> None:
        self._held.pop(key, None)

    def _taken(self) -> set[str]:
        return {each.address for each in self._held.values()}


def choose_address(
    pool: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address], taken: set[str], asked: str, before: str
) -> str:
    """The address that is asked for, else the one it had, else the first free one of the pool.

    taken: those of other Services. Raises CloudProblem.
    """
    first, last = pool
    if asked:
        try:
            inside = first <= ipaddress.IPv4Address(asked) <= last
        except ValueError:
            inside = False
        if not inside:
            raise CloudProblem(f"loadBalancerIP {asked!r} is not of {first}-{last}")
        if asked in taken:
            raise CloudProblem(f"loadBalancerIP {asked} is another Service's")
        return asked
    # One that the pool does not have any more stays with its Service: clients know it.
    if before and before not in taken:
        return before
    for number in range(int(first), int(last) + 1):
        address = str(ipaddress.IPv4Address(number))
        if address not in taken:
            return address
    raise CloudProblem(f"no address of {first}-{last} is free")


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
