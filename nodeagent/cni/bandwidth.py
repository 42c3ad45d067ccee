"""bandwidth: how much a pod may receive and send, as a chained plugin; kubelab-bridge does the same without a second
process where the runtime knows its capability `bandwidth` (annotations kubernetes.io/ingress-bandwidth and egress-…).

As the reference's: a token bucket on the port for what goes to the pod; what comes from it is led through an ifb, which
has a bucket of its own. Rates in bits a second, bursts in bits.
"""

from __future__ import annotations

import os

from nodeagent.netlink import links, namespaces, traffic
from nodeagent.netlink.wire import Netlink

from . import results
from .call import Plugin
from .errors import INTERFACE_MISMATCH, INVALID_CONFIG, IO_FAILURE, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set
    from typing import Any

    from .call import Call

    Result = dict[str, Any]

PRIORITY = 2  # behind what a pod may send at all
_FIELDS = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_WAIT = 40  # what may wait in the queue: what goes out in a fortieth of a second, as the reference
_BURST_MAX = 1 << 35  # bits
# containerd's burst for every pod; honoured, the first 512 MB would pass at any rate.
_NOT_TOLD = 0xFFFFFFFF
_BURST_OF_RATE, _BURST_MIN = 10, 65536  # then: what goes out in a tenth of a second, and at least so many bytes
_IFB = "bwp"
_NOTE = "kubelab-bandwidth"


class Limits:
    """Token buckets for what goes to the pod (ingress) and what comes from it (egress); None: as fast as it can."""

    __slots__ = ("egress", "ingress")

    def __init__(self, entry: object) -> None:
        """entry: the object in `runtimeConfig.bandwidth`. Raises CniError, with the reference's words."""
        if not isinstance(entry, dict):
            raise CniError(INVALID_CONFIG, "bandwidth must be an object")
        values = [entry.get(name) or 0 for name in _FIELDS]
        if not all(isinstance(value, int) and value >= 0 for value in values):
            raise CniError(INVALID_CONFIG, "rate and burst must be a positive integer")
        self.ingress, self.egress = _bucket(*values[:2]), _bucket(*values[2:])


def ensure(netlink: Netlink, call: Call, limits: Limits, port: links.Link) -> list[Result]:
    """Shape what goes through the pod's port on the host; returns the interfaces that this took."""
    if limits.ingress is not None:
        netlink.call(traffic.shape(port.index, limits.ingress))
    if limits.egress is None:
        return []
    name = ifb_name(call)
    netlink.call(links.new_link(name, "ifb", mtu=port.mtu))
    ifb = links.find(netlink, name)
    if ifb is None:
        raise CniError(IO_FAILURE, f'failed to lookup "{name}": Link not found')
    note = f"{_NOTE} {call.network} {call.container} {call.interface}"
    if len(note.encode()) <= links.IFALIAS_MAX:
        netlink.call(links.set_alias(ifb.index, note))
    traffic.ensure_ingress(netlink, port.index)
    netlink.call(
        traffic.shape(ifb.index, limits.egress),
        traffic.redirect(port.index, PRIORITY, ifb.index),
    )
    return [{"name": name, "mac": ifb.mac}]


def remove(call: Call) -> None:
    """The ifb; the port takes the rest with it. Nothing there is success."""
    with Netlink() as netlink:
        ifb = links.find(netlink, ifb_name(call))
        if ifb is not None:
            netlink.call(links.delete(ifb.index))


def check_limits(netlink: Netlink, call: Call, limits: Limits, port: links.Link) -> None:
    """Raise CniError for what differs."""
    _check_rate(netlink, port, limits.ingress)
    if limits.egress is None:
        return
    ifb = links.find(netlink, ifb_name(call))
    if ifb is None:
        raise CniError(INTERFACE_MISMATCH, f"{ifb_name(call)} not found: what the pod sends is not limited")
    _check_rate(netlink, ifb, limits.egress)
    if PRIORITY not in traffic.judging(netlink, port.index):
        raise CniError(INTERFACE_MISMATCH, f"what {port.name} receives is not led through {ifb.name}")


def collect_ifbs(network: str, valid: Set[tuple[str, str]]) -> None:
    """GC: delete our ifbs of attachments that the runtime does not list."""
    with Netlink() as netlink:
        for link in links.list_links(netlink):
            words = link.alias.split(" ") if link.kind == "ifb" else []
            if len(words) == 4 and words[:2] == [_NOTE, network] and (words[2], words[3]) not in valid:
                netlink.call(links.delete(link.index))


def ifb_name(call: Call) -> str:
    """The reference's, so that either removes what the other made."""
    from hashlib import sha512  # only when it is needed: it loads OpenSSL

    return f"{_IFB}{sha512((call.network + call.container).encode()).hexdigest()}"[:15]


def add(call: Call) -> Result:
    previous = results.from_previous(call.config)
    if previous is None:
        raise CniError(INVALID_CONFIG, "must be called as chained plugin")
    limits = _limits(call)
    if limits is not None:
        with Netlink() as netlink:
            try:
                made = ensure(netlink, call, limits, host_port(netlink, call))
            except BaseException:
                remove(call)
                raise
        previous["interfaces"] = [*previous["interfaces"], *made]
    return previous


def delete(call: Call) -> None:
    remove(call)


def check(call: Call) -> None:
    limits = _limits(call)
    if limits is not None:
        with Netlink() as netlink:
            check_limits(netlink, call, limits, host_port(netlink, call))


def collect(call: Call) -> None:
    collect_ifbs(call.network, call.valid_attachments())


PLUGIN = Plugin("CNI plugin bandwidth v0.1.0", ADD=add, DEL=delete, CHECK=check, GC=collect)


def host_port(netlink: Netlink, call: Call) -> links.Link:
    """The host's end of the pod's veth pair. Raises CniError for any other kind of interface."""
    namespace = namespaces.open_namespace(call.netns)
    try:
        peer = namespaces.inside(namespace, lambda: _peer_here(call.interface))
    finally:
        os.close(namespace)
    port = links.by_index(netlink, peer) if peer else None
    if port is None or port.kind != "veth":
        raise CniError(INTERFACE_MISMATCH, f"failed to find a veth pair's end on the host for {call.interface}")
    return port


def _peer_here(name: str) -> int:
    with Netlink() as netlink:
        link = links.find(netlink, name)
        return link.peer if link is not None and link.kind == "veth" else 0


def _limits(call: Call) -> Limits | None:
    """As the reference: what the configuration says of its own comes before what the pod asks for."""
    told = (call.config.get("runtimeConfig") or {}).get("bandwidth")
    if any(call.config.get(name) is not None for name in _FIELDS):
        told = call.config
    return Limits(told) if told else None


def _bucket(rate: int, burst: int) -> traffic.TokenBucket | None:
    if burst == 0 and rate != 0:
        raise CniError(INVALID_CONFIG, "if rate is set, burst must also be set")
    if rate == 0 and burst != 0:
        raise CniError(INVALID_CONFIG, "if burst is set, rate must also be set")
    if burst >= _BURST_MAX:
        raise CniError(INVALID_CONFIG, "burst cannot be more than 4GB")
    if rate == 0:
        return None
    bytes_a_second = max(rate // 8, 1)
    size = burst // 8 if burst != _NOT_TOLD else max(bytes_a_second // _BURST_OF_RATE, _BURST_MIN)
    return traffic.TokenBucket(bytes_a_second, size, bytes_a_second // _WAIT + size)


def _check_rate(netlink: Netlink, link: links.Link, bucket: traffic.TokenBucket | None) -> None:
    wanted, found = bucket.rate if bucket is not None else 0, traffic.shaped(netlink, link.index)
    if wanted != found:
        raise CniError(INTERFACE_MISMATCH, f"{link.name} is limited to {found * 8} bits a second, not {wanted * 8}")
