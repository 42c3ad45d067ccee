"""Which addresses are in use on the bridge, whatever the leases say: those may have been lost, a pod does not notice.

Each port has the pod's addresses as further names (`ip link show kubelab-10.244.1.7`) and a note of whose it is (its
alias). Both live and die with the pod's network, and no two ports can have one name.
"""

from __future__ import annotations

from nodeagent.netlink import links, neighbours

from .addresses import format_ip
from .errors import ADDRESS_TAKEN, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nodeagent.netlink.wire import Netlink, Request

    from .call import Call

_NOTE = "kubelab-pod"


class Alive:
    """One network's pods on one bridge."""

    def __init__(self, netlink: Netlink, bridge: int, network: str) -> None:
        self._netlink, self._bridge, self._network = netlink, bridge, network

    def holder(self, ip: bytes) -> tuple[str, str] | None:
        """(container, interface) of the pod that has the address, attached by us; None for none. Costs 20 µs."""
        port = links.find_by_other_name(self._netlink, _other_name(self._network, ip))
        return _owner(port, self._network) if port is not None and port.master == self._bridge else None

    def ports_of(self, container: str, interface: str) -> list[int]:
        """Their indexes. Costs a look at every port: 0.1 ms each."""
        ports = links.list_links(self._netlink, self._bridge)
        return [port.index for port in ports if _owner(port, self._network) == (container, interface)]

    def answers(self, ip: bytes) -> bool:
        """Whether a port that is not ours has the address: the machine spoke with it, and it is still there."""
        entry = neighbours.neighbour_at(self._netlink, self._bridge, ip)
        if entry is None or not entry.mac or entry.state & (neighbours.NUD_FAILED | neighbours.NUD_INCOMPLETE):
            return False
        # The entry outlives a pod by minutes; what the bridge knows of its port does not.
        port = neighbours.port_of(self._netlink, self._bridge, entry.mac)
        return port is not None and port.index != self._bridge


def notes(call: Call, port: int, ips: list[bytes]) -> list[Request]:
    """To be put on the pod's port; none where the names are longer than the kernel takes."""
    alias = f"{_NOTE} {call.network} {call.container} {call.interface}"
    names = [_other_name(call.network, ip) for ip in ips]
    if len(alias.encode()) > links.IFALIAS_MAX or any(len(name) > links.OTHER_NAME_MAX for name in names):
        return []
    return [links.set_alias(port, alias), *(links.add_other_name(port, name) for name in names)]


def check_claims(netlink: Netlink, call: Call, ips: list[bytes]) -> None:
    """For plugins that believe what another says: raises CniError when the addresses of a chain's result are those of
    another pod."""
    for ip in ips:
        port = links.find_by_other_name(netlink, _other_name(call.network, ip))
        owner = _owner(port, call.network) if port is not None else None
        if owner is not None and owner != (call.container, call.interface):
            raise CniError(ADDRESS_TAKEN, f"{format_ip(ip)} is the address of {owner[0]}")


def _owner(port: links.Link, network: str) -> tuple[str, str] | None:
    words = port.alias.split(" ")
    if len(words) != 4 or words[:2] != [_NOTE, network]:
        return None
    return words[2], words[3]


def _other_name(network: str, ip: bytes) -> str:
    return f"{network}-{format_ip(ip)}"
