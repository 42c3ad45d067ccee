"""Routes of the host to the pods of a lab, so that whoever sits at the host reaches pods by their addresses.

The host's routes bear a protocol number of ours (rtnetlink(7), rtm_protocol), by which they are told from all others;
those of one lab from those of another by their gateway. They go with the lab's bridge.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence

from apimachinery.kit.commands import CommandError, run
from controlplane.cloud.kubelab.lab import LabFile
from controlplane.cloud.provider import CloudProblem, Route

PROTOCOL = "77"


class HostRoutes:
    """By way of ip(8)."""

    def __init__(self, lab: LabFile) -> None:
        self._lab = lab

    async def list(self) -> Sequence[Route]:
        shown = await _ip("-json", "-4", "route", "show", "proto", PROTOCOL)
        return parse_routes(shown, self._lab.load().network)

    async def create(self, route: Route) -> None:
        present = parse_routes(await _ip("-json", "-4", "route", "show", "exact", route.destination), None)
        if route in present:
            return
        if present:
            # Another lab with the same pod network, most likely: its way is not ours to take.
            raise CloudProblem(f"{route.destination} is reached through {present[0].gateway or 'an interface'} already")
        await _ip("route", "add", route.destination, "via", route.gateway, "proto", PROTOCOL)

    async def delete(self, route: Route) -> None:
        if route in await self.list():
            await _ip("route", "delete", route.destination, "via", route.gateway, "proto", PROTOCOL)


def parse_routes(shown: str, network: ipaddress.IPv4Network | None) -> list[Route]:
    """The routes of `ip -json route show` whose gateway is in the network; all of them without one."""
    found = []
    for each in json.loads(shown or "[]"):
        gateway, destination = each.get("gateway", ""), str(each.get("dst"))
        if "/" not in destination and destination != "default":
            destination += "/32"
        if network is None or (gateway and ipaddress.ip_address(gateway) in network):
            found.append(Route(destination, gateway))
    return found


async def _ip(*words: str) -> str:
    try:
        return (await run("ip", *words)).text
    except CommandError as error:
        raise CloudProblem(str(error)) from error
