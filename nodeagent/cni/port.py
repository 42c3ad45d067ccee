"""The host's end of a pod's veth pair: whose it is, what may come from it, and how fast."""

from __future__ import annotations

import errno

from nodeagent.netlink import links
from nodeagent.netlink.wire import NetlinkError

from . import alive
from .addresses import format_ip, parse_network
from .errors import ADDRESS_TAKEN, INTERFACE_MISMATCH, IO_FAILURE, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nodeagent.netlink.wire import Netlink

    from .bridge_config import BridgeConfig
    from .call import Call
    from .undo import Undo

    Result = dict[str, Any]


def ensure_noted(netlink: Netlink, call: Call, config: BridgeConfig, port: links.Link, ips: list[bytes]) -> None:
    """Raises CniError when a pod has one of the addresses, lease or no lease."""
    try:
        netlink.call(links.set_hairpin(port.index, config.hairpin), *alive.notes(call, port.index, ips))
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise
        words = ", ".join(format_ip(ip) for ip in ips)
        raise CniError(ADDRESS_TAKEN, f"a pod of this machine has {words} already") from None


def ensure_guarded(netlink: Netlink, config: BridgeConfig, port: links.Link, mac: str, ips: list[bytes]) -> None:
    """The pod sends from its own addresses only, where that is asked for."""
    if not (config.address_check or config.mac_check):
        return
    # Imported where they are needed, as below: every import delays every pod.
    from nodeagent.netlink import traffic

    from . import spoofing

    try:
        traffic.ensure_ingress(netlink, port.index)
        netlink.call(traffic.judge(port.index, spoofing.PRIORITY, _program(config, mac, ips)))
    except NetlinkError as error:
        words = f"failed to keep {port.name} from sending with others' addresses: {error.strerror}"
        raise CniError(IO_FAILURE, words, "the kernel needs sch_ingress and cls_bpf") from None


def ensure_shaped(netlink: Netlink, undo: Undo, call: Call, config: BridgeConfig, port: links.Link) -> list[Result]:
    """Returns the interfaces that this took."""
    if not config.bandwidth:
        return []
    from . import bandwidth

    limits = bandwidth.Limits(config.bandwidth)
    undo.add(lambda: bandwidth.remove(call))
    return bandwidth.ensure(netlink, call, limits, port)


def check(netlink: Netlink, call: Call, config: BridgeConfig, port: links.Link, mac: str, ips: list[Result]) -> None:
    """Raise CniError for what is not as ADD made it."""
    if config.address_check or config.mac_check:
        from nodeagent.netlink import traffic

        from . import spoofing

        wanted = _program(config, mac, [parse_network(ip["address"]).ip for ip in ips])
        if traffic.judging(netlink, port.index).get(spoofing.PRIORITY) != wanted:
            raise CniError(INTERFACE_MISMATCH, f"{port.name} lets the pod send with others' addresses")
    if config.bandwidth:
        from . import bandwidth

        bandwidth.check_limits(netlink, call, bandwidth.Limits(config.bandwidth), port)


def delete_left(netlink: Netlink, call: Call, bridge: int) -> None:
    """The ports of an attachment whose namespace has no name any more; processes may keep it all the same."""
    for port in alive.Alive(netlink, bridge, call.network).ports_of(call.container, call.interface):
        netlink.call(links.delete(port))


def _program(config: BridgeConfig, mac: str, ips: list[bytes]) -> bytes:
    from . import spoofing

    packed = links.mac_bytes(mac)
    return spoofing.render_program(packed, ips) if config.address_check else spoofing.render_mac_program(packed)
