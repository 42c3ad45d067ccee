"""loopback: brings `lo` up in a new namespace. Every container runtime calls it before the pod's own network."""

from __future__ import annotations

import os

from nodeagent.netlink import links, namespaces
from nodeagent.netlink.wire import Netlink

from . import results
from .addresses import format_ip
from .call import Plugin
from .errors import INTERFACE_MISMATCH, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .call import Call

    Result = dict[str, Any]


def add(call: Call) -> Result:
    ips = _inside(call.netns, lambda netlink, lo: _bring_up(netlink, lo))
    previous = results.from_previous(call.config)
    if previous is not None:
        return previous
    found: Result = {"interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": call.netns}]}
    if ips:
        found["ips"] = [{"interface": 0, "address": ip} for ip in ips]
    return found


def delete(call: Call) -> None:
    if not call.netns:
        return
    try:
        _inside(call.netns, lambda netlink, lo: netlink.call(links.set_up(lo.index, False)))
    except namespaces.NamespaceGone:
        return


def check(call: Call) -> None:
    if not _inside(call.netns, lambda _, lo: lo.up):
        raise CniError(INTERFACE_MISMATCH, "loopback interface is down")


PLUGIN = Plugin("CNI plugin loopback v0.1.0", ADD=add, DEL=delete, CHECK=check)


def _inside(path: str, work: Callable[[Netlink, links.Link], Any]) -> Any:
    namespace = namespaces.open_namespace(path)
    try:
        return namespaces.inside(namespace, lambda: _with_lo(work))
    finally:
        os.close(namespace)


def _with_lo(work: Callable[[Netlink, links.Link], Any]) -> Any:
    with Netlink() as netlink:
        lo = links.find(netlink, "lo")
        if lo is None:
            raise CniError(INTERFACE_MISMATCH, "Link not found: lo")
        return work(netlink, lo)


def _bring_up(netlink: Netlink, lo: links.Link) -> list[str]:
    netlink.call(links.set_up(lo.index))
    return [f"{format_ip(address.ip)}/{address.prefix}" for address in links.list_addresses(netlink, lo.index)]
