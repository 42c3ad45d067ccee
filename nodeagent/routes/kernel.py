"""Our routes in the main table, and how the machine reaches other nodes. Calls wait for nothing but the kernel."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterable

from nodeagent.netlink import links, routes
from nodeagent.netlink.wire import Netlink, NetlinkError

from . import tunnel
from .plan import PodRoute, Tunnel, Way

# The mark of our routes (`ip route show proto 76`), so that a restart finds them and foreign ones are left alone.
RTPROT_KUBELAB = 76
_FAMILIES = {4: routes.AF_INET, 6: routes.AF_INET6}


class Kernel:
    """In the network namespace of the thread that calls. Raises NetlinkError with the kernel's words."""

    def present(self) -> dict[str, PodRoute]:
        found = {}
        with Netlink() as netlink:
            end = links.find(netlink, tunnel.NAME)
            for family in _FAMILIES.values():
                for route in routes.list_routes(netlink, family, RTPROT_KUBELAB):
                    destination = f"{ipaddress.ip_address(route.destination)}/{route.prefix}"
                    gateway = str(ipaddress.ip_address(route.gateway)) if route.gateway else ""
                    tunnelled = end is not None and route.index == end.index
                    found[destination] = PodRoute(destination, gateway, tunnelled)
        return found

    def add(self, route: PodRoute) -> None:
        """Refused with EEXIST when somebody else has a route there, ENETUNREACH for a gateway not on a link."""
        network = ipaddress.ip_network(route.destination)
        with Netlink() as netlink:
            end = links.find(netlink, tunnel.NAME) if route.tunnel else None
            if route.tunnel and end is None:
                raise NetlinkError(errno.ENODEV, f"no {tunnel.NAME}")
            netlink.call(
                routes.add_route(
                    network.network_address.packed,
                    network.prefixlen,
                    family=_FAMILIES[network.version],
                    gateway=ipaddress.ip_address(route.gateway).packed,
                    index=end.index if end is not None else 0,
                    protocol=RTPROT_KUBELAB,
                    on_link=route.tunnel,
                )
            )

    def delete(self, route: PodRoute) -> None:
        """One that is gone already is no error."""
        network = ipaddress.ip_network(route.destination)
        with Netlink() as netlink:
            try:
                netlink.call(
                    routes.delete_route(
                        network.network_address.packed,
                        network.prefixlen,
                        family=_FAMILIES[network.version],
                        gateway=ipaddress.ip_address(route.gateway).packed if route.gateway else b"",
                        index=0,
                        protocol=RTPROT_KUBELAB,
                    )
                )
            except NetlinkError as error:
                if error.errno != errno.ESRCH:
                    raise

    def ways(self, addresses: Iterable[str]) -> dict[str, Way]:
        """How packets to these would leave now; without those that nothing leads to. Our own are on their interface."""
        found: dict[str, Way] = {}
        with Netlink() as netlink:
            held = {address.ip: address.index for address in links.list_addresses(netlink)}
            known: dict[int, links.Link | None] = {}
            for text in addresses:
                packed = ipaddress.ip_address(text).packed
                route = routes.way_to(netlink, packed)
                index = held.get(packed) or (route.index if route is not None else 0)
                if index not in known:
                    known[index] = links.by_index(netlink, index) if index else None
                link = known[index]
                if link is not None and link.name != tunnel.NAME:
                    found[text] = Way(packed in held or (route is not None and not route.gateway), link.mtu)
        return found

    def ensure_tunnel(self, wanted: Tunnel | None) -> list[str]:
        """Returns what was changed, in words. None: there is to be none."""
        with Netlink() as netlink:
            return tunnel.ensure(netlink, wanted) if wanted is not None else tunnel.remove(netlink)
