"""Routes of the host to the pods of a lab, so that whoever sits at the host reaches pods by their addresses.

The host's routes bear a protocol number of ours (rtnetlink(7), rtm_protocol), by which they are told from all others;
those of one lab from those of another by their gateway. They go with the lab's bridge.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence

from apimachinery.kit.commands import CommandError, run
from controlplane.cloud.kubelab.lab import IPNetwork, LabFile
from controlplane.cloud.provider import CloudProblem, Route

PROTOCOL = "77"


class HostRoutes:
    """By way of ip(8)."""

    def __init__(self, lab: LabFile) -> None:
        self._lab = lab

    async def list(self) -> Sequence[Route]:
        networks = self._lab.load().networks
        shown = [await _ip("-json", family(each), "route", "show", "proto", PROTOCOL) for each in networks]
        return [route for text, each in zip(shown, networks, strict=True) for route in parse_routes(text, each)]

    async def create(self, route: Route) -> None:
        network = ipaddress.ip_network(route.destination)
        present = parse_routes(await _ip("-json", family(network), "route", "show", "exact", route.destination), None)
        if route in present:
            return
        if present:
            # Another lab with the same pod network, most likely: its way is not ours to take.
            raise CloudProblem(f"{route.destination} is reached through {present[0].gateway or 'an interface'} already")
        await _ip("route", "add", route.destination, "via", route.gateway, "proto", PROTOCOL)

    async def delete(self, route: Route) -> None:
        if route in await self.list():
            await _ip("route", "delete", route.destination, "via", route.gateway, "proto", PROTOCOL)


def family(network: IPNetwork) -> str:
    """The option of ip(8); what it is asked to show it does not choose the family by."""
    return f"-{network.version}"


def parse_routes(shown: str, network: IPNetwork | None) -> list[Route]:
    """The routes of `ip -json route show` whose gateway is in the network; all of them without one."""
    found = []
    for each in json.loads(shown or "[]"):
        gateway, destination = each.get("gateway", ""), str(each.get("dst"))
        if "/" not in destination and destination != "default":
            destination += "/128" if ":" in destination else "/32"
        if network is None or (gateway and ipaddress.ip_address(gateway) in network):
            found.append(Route(destination, gateway))
    return found


async def _ip(*words: str) -> str:
    try:
        return (await run("ip", *words)).text
    except CommandError as error:
        raise CloudProblem(str(error)) from error
