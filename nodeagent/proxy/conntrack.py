"""Forgetting stale connections in the kernel."""

from __future__ import annotations

from nodeagent.netlink import conntrack
from nodeagent.netlink.links import AF_INET, AF_INET6
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink

from .stale import Wanted, plan_stale

_PROTOCOLS = frozenset((conntrack.IPPROTO_TCP, conntrack.IPPROTO_UDP, conntrack.IPPROTO_SCTP))


def forget_stale(family: int, wanted: Wanted) -> int:
    """Returns how many were forgotten. family: 4 or 6.

    Blocks for a look at every tracked connection. Raises OSError.
    """
    with Netlink(NETLINK_NETFILTER) as netlink:
        flows = conntrack.list_flows(netlink, AF_INET if family == 4 else AF_INET6, _PROTOCOLS)
        return sum(conntrack.forget(netlink, flow) for flow in plan_stale(flows, wanted))
