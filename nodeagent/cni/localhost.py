"""hostPorts on 127.0.0.1 of the machine: what comes from there must leave by the pods' bridge.

The kernel lets it once `route_localnet` is set on the bridge, and would then also take what pods send to 127.0.0.0/8
for the machine's own (CVE-2020-8558). No frame has such a destination rightly: what a pod answers bears the bridge's
address until connection tracking has seen it. So they are dropped before that, in the table `raw`; first the rule, then
the setting.
"""

from __future__ import annotations

from nodeagent.netlink import links, routes
from nodeagent.netlink.wire import Netlink

from . import netfilter, sysctls
from .errors import CniError

GUARD = (
    "-A PREROUTING -d 127.0.0.0/8 ! -i lo"
    ' -m comment --comment "CNI portfwd block incoming localnet connections" -j DROP'
)
_TABLE = "raw"


def ensure(ip: bytes) -> None:
    """ip: of the pod, IPv4. Where the guard cannot be had (a kernel without the table) nothing is opened."""
    if _guarded() and (name := _way_to(ip)):
        sysctls.ensure(f"net/ipv4/conf/{name}/route_localnet", "1")


def _guarded() -> bool:
    try:
        present = netfilter.saved(4, _TABLE)
    except CniError:
        return False
    return GUARD in present or netfilter.try_restore(4, GUARD, table=_TABLE)


def _way_to(ip: bytes) -> str:
    """The interface behind which the pod is; empty when no route leads there."""
    with Netlink() as netlink:
        route = routes.way_to(netlink, ip)
        link = links.by_index(netlink, route.index) if route else None
    return link.name if link is not None and not link.flags & links.IFF_LOOPBACK else ""
