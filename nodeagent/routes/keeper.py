"""Keeps this node's part of the pod network: routes to the other nodes' pods, and the CNI configuration."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from apimachinery.cache.lister import Lister
from apimachinery.kit.files import write_atomic
from nodeagent.netlink.wire import NetlinkError

from . import conflist
from .kernel import Kernel
from .nodes import NodeNetwork, node_network
from .plan import Mode, Plan, PodRoute, Tunnel, diff, plan_network

log = logging.getLogger(__name__)

PERIOD = 5.0  # seconds between looks at the kernel: what was removed is back within ten


class PodNetwork:
    """Reconciles routes, tunnel and CNI configuration with the Nodes.

    nodes: must have synced before `reconcile` is called: a Node that is not there loses its route.
    conf_dir: where the container runtime reads network configurations; None to write none. mtu: of pods, bytes; 0: as
    much as the way to the other nodes lets through.
    """

    def __init__(
        self,
        node_name: str,
        nodes: Lister,
        kernel: Kernel,
        *,
        conf_dir: Path | None,
        data_dir: str = "",
        mtu: int = 0,
        mode: Mode = Mode.AUTO,
    ) -> None:
        self._node_name, self._nodes, self._kernel = node_name, nodes, kernel
        self._conf_dir, self._data_dir, self._mtu, self._mode = conf_dir, data_dir, mtu, mode
        self._refused: dict[str, str] = {}

    def own(self) -> NodeNetwork | None:
        node = self._nodes.get(self._node_name)
        return node_network(node) if node is not None else None

    async def reconcile(self, _: str) -> float:
        """One pass; returns the seconds until the next."""
        present = self._kernel.present()
        plan = self._plan(present)
        if self._conf_dir is not None:
            await asyncio.to_thread(self._keep_conflist, self._conf_dir, self.own(), plan)
        if plan.tunnel is not None:
            self._ensure_tunnel(plan.tunnel)
        self._ensure_routes(present, plan.routes)
        if plan.tunnel is None:
            self._ensure_tunnel(None)
        return PERIOD

    def _plan(self, present: dict[str, PodRoute]) -> Plan:
        nodes = [node_network(node) for node in self._nodes.list()]
        ways = self._kernel.ways({address for node in nodes for address in node.addresses})
        return plan_network(self._node_name, nodes, self._mode, ways, present)

    def _keep_conflist(self, directory: Path, own: NodeNetwork | None, plan: Plan) -> None:
        """Written when this node has a subnet. Removed when it has left the cluster and the last pod is gone: without
        it, the runtime could not take a pod's network down."""
        path = directory / conflist.FILE_NAME
        cidrs = [cidr for cidr in (own.pod_cidr(4), own.pod_cidr(6)) if cidr] if own is not None else []
        if cidrs:
            mtu = self._mtu or (plan.tunnel.mtu if plan.tunnel is not None else 0)
            if write_atomic(path, conflist.render_conflist(cidrs, mtu, self._data_dir)):
                log.info("wrote %s for %s", path, ", ".join(cidrs))
        elif own is None and conflist.remove(directory, self._data_dir):
            log.info("removed %s: this node is not in the cluster, and has no pods", path)

    def _ensure_tunnel(self, tunnel: Tunnel | None) -> None:
        try:
            for words in self._kernel.ensure_tunnel(tunnel):
                log.info("tunnel: %s", words)
        except OSError as error:
            self._tell("tunnel", f"cannot keep the tunnel to other segments: {error.strerror}")
        else:
            self._refused.pop("tunnel", None)

    def _ensure_routes(self, present: dict[str, PodRoute], wanted: dict[str, PodRoute]) -> None:
        # Deleting an interface has deleted its routes as well.
        now = self._kernel.present() if any(route.tunnel for route in present.values()) else present
        add, delete = diff(now, wanted)
        for route in delete:
            self._try("delete", route, self._kernel.delete)
        for route in add:
            self._try("add", route, self._kernel.add)
        self._refused = {key: words for key, words in self._refused.items() if key in wanted or key == "tunnel"}

    def _try(self, what: str, route: PodRoute, change: Callable[[PodRoute], None]) -> None:
        """A refusal concerns one route; it is tried again at every look, and told once."""
        try:
            change(route)
        except NetlinkError as error:
            words = f"cannot {what} the route to {route.destination} via {route.gateway}: {error.strerror}"
            self._tell(route.destination, words)
        else:
            self._refused.pop(route.destination, None)
            log.info(
                "route to %s via %s: %s", route.destination, route.gateway, "added" if what == "add" else "removed"
            )

    def _tell(self, what: str, words: str) -> None:
        if self._refused.get(what) != words:
            self._refused[what] = words
            log.error("%s", words)
