"""What the pod network needs of Node objects. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """A node's pod subnets and its own addresses, both in their usual spelling, IPv4 and IPv6 mixed."""

    name: str
    pod_cidrs: tuple[str, ...]
    addresses: tuple[str, ...]

    def pod_cidr(self, family: int) -> str:
        """The first subnet of the family (4 or 6); empty when there is none."""
        return next((cidr for cidr in self.pod_cidrs if ipaddress.ip_network(cidr).version == family), "")

    def address(self, family: int) -> str:
        return next((ip for ip in self.addresses if ipaddress.ip_address(ip).version == family), "")


def node_network(node: Object) -> NodeNetwork:
    """What does not parse is left out: a Node is written by its kubelet."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    internal = [
        entry.get("address") for entry in status.get("addresses") or [] if entry.get("type") == "InternalIP"
    ]  # fmt: skip
    return NodeNetwork(node["metadata"]["name"], _parsed(ipaddress.ip_network, cidrs), _parsed(_usable, internal))


def trim(node: Object) -> Object:
    """An informer's transform: a Node's status is large (images), and of it only addresses are read."""
    node.get("metadata", {}).pop("managedFields", None)
    addresses = (node.get("status") or {}).get("addresses")
    node["status"] = {"addresses": addresses} if addresses else {}
    return node


def _usable(text: str) -> object:
    parsed = ipaddress.ip_address(text)
    if parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast:
        raise ValueError(text)
    return parsed


def _parsed(parse: Any, texts: Iterable[object]) -> tuple[str, ...]:
    found = []
    for text in texts:
        try:
            found.append(str(parse(str(text))))
        except ValueError:
            continue
    return tuple(found)
