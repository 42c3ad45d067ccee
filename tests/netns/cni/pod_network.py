"""Nodes on two segments with a router between them, the pod network that they keep, and pods."""

import asyncio
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apimachinery.cache.lister import Lister
from nodeagent.routes.conflist import FILE_NAME
from nodeagent.routes.keeper import PodNetwork
from nodeagent.routes.kernel import Kernel
from nodeagent.routes.plan import Mode
from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace

Make = Callable[[str], Namespace]
# Of each segment the router has the address that ends in fe.
SEGMENTS = {
    4: ("192.0.2.0/24", "198.51.100.0/24"),
    6: ("2001:db8:1::/64", "2001:db8:2::/64"),
}


class Segments:
    """Two segments (bridges in the router's namespace), which the router joins, in both families."""

    def __init__(self, make: Make) -> None:
        self._make, self.router = make, make("router")
        for setting in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.router.run("sysctl", "-qw", f"{setting}=1")
        for number in (0, 1):
            self.router.run("ip", "link", "add", f"segment{number}", "type", "bridge")
            self.router.run("ip", "link", "set", f"segment{number}", "up")
            for family in (4, 6):
                _add(self.router, f"segment{number}", family, number, 0xFE)

    def plug(self, name: str, segment: int, last: int) -> tuple[Namespace, dict[int, str]]:
        """A machine on the segment with its addresses by family, which end in `last`."""
        machine = self._make(name)
        machine.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", self.router.name)
        self.router.run("ip", "link", "set", name, "master", f"segment{segment}", "up")
        machine.run("ip", "link", "set", "eth0", "up")
        held = {family: _add(machine, "eth0", family, segment, last) for family in (4, 6)}
        for family in (4, 6):
            network = ipaddress.ip_network(SEGMENTS[family][segment])
            machine.run("ip", "route", "add", "default", "via", str(network[0xFE]), "dev", "eth0")
        return machine, held


class Node:
    """A machine that keeps its part of the pod network, as kube-proxy does."""

    def __init__(self, name: str, machine: Namespace, nodes: Lister, directory: Path, mode: Mode) -> None:
        self.name, self.machine, self._directory = name, machine, directory / name
        self._directory.mkdir()
        self.network = PodNetwork(
            name, nodes, Kernel(), conf_dir=self._directory, data_dir=str(self._directory / "leases"), mode=mode
        )

    @property
    def conflist(self) -> Path:
        return self._directory / FILE_NAME

    def reconcile(self) -> None:
        self.machine.inside(lambda: asyncio.run(self.network.reconcile("")))

    def call(self, plugins: Plugins, command: str, config: dict[str, Any], pod: Namespace) -> Any:
        given = {"name": config["name"], "cniVersion": config["cniVersion"], **config["plugins"][0]}
        answer = plugins.call(
            "kubelab-bridge", command, given, node=self.machine, netns=str(pod.path), container=pod.name
        )
        assert answer.code == 0, answer.text
        return answer.value if answer.text else None

    def ours(self) -> dict[str, Any]:
        """What the pod network has put into this machine's kernel."""
        routes = [self.machine.json("ip", "-j", family, "route", "show", "proto", "76") for family in ("-4", "-6")]
        tunnels = self.machine.json("ip", "-j", "link", "show", "type", "vxlan")
        return {
            "routes": [route["dst"] for found in routes for route in found],
            "tunnels": [link["ifname"] for link in tunnels],
        }


def node_object(name: str, addresses: list[str], cidrs: list[str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]},
    }


def _add(machine: Namespace, interface: str, family: int, segment: int, last: int) -> str:
    network = ipaddress.ip_network(SEGMENTS[family][segment])
    extra = ["nodad"] if family == 6 else []
    machine.run("ip", "address", "add", f"{network[last]}/{network.prefixlen}", "dev", interface, *extra)
    return str(network[last])
