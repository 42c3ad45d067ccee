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
        found = {}
        with Netlink() as netlink:
            known = {link.index: link for link in links.list_links(netlink)}
            held = {
                address.ip: index
                for index, link in known.items()
                if link.name != tunnel.NAME
                for address in links.list_addresses(netlink, index)
            }
            for text in addresses:
                packed = ipaddress.ip_address(text).packed
                route = routes.way_to(netlink, packed)
                if packed in held:
                    found[text] = Way(True, known[held[packed]].mtu)
                elif route is not None and (link := known.get(route.index)) and link.name != tunnel.NAME:
                    found[text] = Way(not route.gateway, link.mtu)
        return found

    def ensure_tunnel(self, wanted: Tunnel | None) -> list[str]:
        """Returns what was changed, in words. None: there is to be none."""
        with Netlink() as netlink:
            return tunnel.ensure(netlink, wanted) if wanted is not None else tunnel.remove(netlink)
