"""Keeps this node's part of the pod network: routes to the other nodes' pods, and the CNI configuration."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from collections.abc import Callable
from pathlib import Path

from apimachinery.cache.lister import Lister
from apimachinery.kit.files import write_atomic
from nodeagent.netlink import routes
from nodeagent.netlink.wire import Netlink, NetlinkError

from .conflist import FILE_NAME, render_conflist
from .nodes import NodeNetwork, node_network
from .plan import PodRoute, diff, plan_routes

log = logging.getLogger(__name__)

# The mark of our routes (`ip route show proto 76`), so that a restart finds them and foreign ones are left alone.
RTPROT_KUBELAB = 76
PERIOD = 5.0  # seconds between looks at the kernel: what was removed is back within ten
_FAMILIES = {4: routes.AF_INET, 6: routes.AF_INET6}


class Kernel:
    """Our routes in the main table. Calls take microseconds and do not wait for anything but the kernel."""

    def present(self) -> dict[str, PodRoute]:
        found = {}
        with Netlink() as netlink:
            for family in _FAMILIES.values():
                for route in routes.list_routes(netlink, family, RTPROT_KUBELAB):
                    destination = f"{ipaddress.ip_address(route.destination)}/{route.prefix}"
                    gateway = str(ipaddress.ip_address(route.gateway)) if route.gateway else ""
                    found[destination] = PodRoute(destination, gateway)
        return found

    def add(self, route: PodRoute) -> None:
        """Raises NetlinkError: EEXIST when somebody else has a route there, ENETUNREACH for a gateway not on a link."""
        network = ipaddress.ip_network(route.destination)
        with Netlink() as netlink:
            netlink.call(
                routes.add_route(
                    network.network_address.packed,
                    network.prefixlen,
                    family=_FAMILIES[network.version],
                    gateway=ipaddress.ip_address(route.gateway).packed,
                    protocol=RTPROT_KUBELAB,
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


class PodNetwork:
    """Reconciles routes and CNI configuration with the Nodes.

    nodes: must have synced before `reconcile` is called: a Node that is not there loses its route.
    conf_dir: where the container runtime reads network configurations; None to write none.
    """

    def __init__(
        self, node_name: str, nodes: Lister, kernel: Kernel, *, conf_dir: Path | None, data_dir: str = "", mtu: int = 0
    ) -> None:
        self._node_name, self._nodes, self._kernel = node_name, nodes, kernel
        self._conf_dir, self._data_dir, self._mtu = conf_dir, data_dir, mtu
        self._refused: dict[str, str] = {}

    def own(self) -> NodeNetwork | None:
        node = self._nodes.get(self._node_name)
        return node_network(node) if node is not None else None

    async def reconcile(self, _: str) -> float:
        """One pass; returns the seconds until the next."""
        own = self.own()
        if own is not None and own.pod_cidrs and self._conf_dir is not None:
            await asyncio.to_thread(self._write_conflist, self._conf_dir, own)
        self._ensure_routes(plan_routes(self._node_name, (node_network(node) for node in self._nodes.list())))
        return PERIOD

    def _write_conflist(self, directory: Path, own: NodeNetwork) -> None:
        cidrs = [cidr for cidr in (own.pod_cidr(4), own.pod_cidr(6)) if cidr]
        if write_atomic(directory / FILE_NAME, render_conflist(cidrs, self._mtu, self._data_dir)):
            log.info("wrote %s for %s", directory / FILE_NAME, ", ".join(cidrs))

    def _ensure_routes(self, wanted: dict[str, PodRoute]) -> None:
        add, delete = diff(self._kernel.present(), wanted)
        for route in delete:
            self._try("delete", route, self._kernel.delete)
        for route in add:
            self._try("add", route, self._kernel.add)
        self._refused = {key: words for key, words in self._refused.items() if key in wanted}

    def _try(self, what: str, route: PodRoute, change: Callable[[PodRoute], None]) -> None:
        """A refusal concerns one route; it is tried again at every look, and told once."""
        try:
            change(route)
        except NetlinkError as error:
            words = f"cannot {what} the route to {route.destination} via {route.gateway}: {error.strerror}"
            if self._refused.get(route.destination) != words:
                self._refused[route.destination] = words
                log.error("%s", words)
        else:
            self._refused.pop(route.destination, None)
            log.info(
                "route to %s via %s: %s", route.destination, route.gateway, "added" if what == "add" else "removed"
            )
