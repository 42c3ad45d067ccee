"""Whether the addresses of --node-ip are this machine's (kubelet_node_status.go: validateNodeIP)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Sequence

from nodeagent.netlink import links
from nodeagent.netlink.wire import Netlink

_KINDS = (
    ("is_loopback", "nodeIP can't be loopback address"),
    ("is_multicast", "nodeIP can't be a multicast address"),
    ("is_link_local", "nodeIP can't be a link-local unicast address"),
)


def held() -> Collection[str]:
    """The addresses of the machine's interfaces. Raises OSError."""
    with Netlink() as netlink:
        return {str(ipaddress.ip_address(address.ip)) for address in links.list_addresses(netlink)}


def refusal(given: Sequence[str], mine: Callable[[], Collection[str]] = held) -> str | None:
    """Why a Node may not have the addresses of --node-ip: the first problem. One that is all zeros asks for none."""
    for name, text in zip(("nodeIP", "secondaryNodeIP"), given, strict=False):
        if ipaddress.ip_address(text).is_unspecified:
            continue
        try:
            problem = _problem(text, mine)
        except OSError as error:
            problem = str(error)
        if problem is not None:
            return f"failed to validate {name}: {problem}"
    return None


def _problem(text: str, mine: Callable[[], Collection[str]]) -> str | None:
    address = ipaddress.ip_address(text)
    for kind, words in _KINDS:
        if getattr(address, kind):
            return words
    return None if text in mine() else f'node IP: "{text}" not found in the host\'s network interfaces'
