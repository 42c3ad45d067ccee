"""`ipMasq`: the pod's traffic to anywhere but its own subnet leaves with the machine's address.

Chain names and rules are those of the reference, so that they read as on a production machine. On the lab's own nodes
this is off: there the node agent keeps one rule for the whole pod network.
"""

from __future__ import annotations

from . import netfilter
from .addresses import format_ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set

    from .addresses import Network

_CHAIN_LENGTH = 28  # of an iptables chain's name, as the reference cuts it
_MULTICAST = {32: "224.0.0.0/4", 128: "ff00::/8"}


def chain_name(network: str, container: str, prefix: str = "") -> str:
    from hashlib import sha512  # only when it is needed: it loads OpenSSL

    return f"CNI-{prefix}{sha512((network + container).encode()).hexdigest()}"[:_CHAIN_LENGTH]


def ensure(network: str, container: str, addresses: list[Network]) -> None:
    for address in addresses:
        netfilter.restore(_family(address), *plan_ensure(network, container, address))


def remove(network: str, container: str, addresses: list[Network]) -> None:
    """Nothing there is success. addresses: of the pod; when they are not known any more, the rules are looked for."""
    for address in addresses:
        netfilter.try_restore(_family(address), *plan_remove(network, container, address))
    if not addresses:
        chain = chain_name(network, container)
        for family in (4, 6):
            present = netfilter.saved(family)
            if any(line.startswith(f":{chain} ") for line in present):
                netfilter.restore(family, *_remove_chains({chain}, present))


def collect(network: str, containers: Set[str]) -> None:
    """GC: remove the rules of the network's pods that are not among `containers`."""
    for family in (4, 6):
        lines = plan_collect(network, containers, netfilter.saved(family))
        if lines:
            netfilter.restore(family, *lines)


def plan_ensure(network: str, container: str, address: Network) -> list[str]:
    chain, note = chain_name(network, container), _comment(network, container)
    subnet = f"{format_ip(address.network)}/{address.prefix}"
    return [
        f":{chain} - [0:0]",
        f"-A {chain} -d {subnet} {note} -j ACCEPT",
        f"-A {chain} ! -d {_MULTICAST[address.bits]} {note} -j MASQUERADE",
        f"-A POSTROUTING -s {format_ip(address.ip)}/{address.bits} {note} -j {chain}",
    ]


def plan_remove(network: str, container: str, address: Network) -> list[str]:
    chain, note = chain_name(network, container), _comment(network, container)
    return [
        f"-D POSTROUTING -s {format_ip(address.ip)}/{address.bits} {note} -j {chain}",
        f"-F {chain}",
        f"-X {chain}",
    ]


def plan_collect(network: str, containers: Set[str], present: list[str]) -> list[str]:
    kept = {chain_name(network, container) for container in containers}
    note = netfilter.comment(f'name: "{network}" id: "')[:-1]
    return _remove_chains({line.split()[-1] for line in _jumps(present) if note in line} - kept, present)


def _remove_chains(chains: Set[str], present: list[str]) -> list[str]:
    lines = ["-D" + line[2:] for line in _jumps(present) if line.split()[-1] in chains]
    for chain in sorted(chains):
        lines += [f"-F {chain}", f"-X {chain}"]
    return lines


def _jumps(present: list[str]) -> list[str]:
    return [line for line in present if line.startswith("-A POSTROUTING ")]


def _comment(network: str, container: str) -> str:
    return netfilter.comment(f'name: "{network}" id: "{container}"')


def _family(address: Network) -> int:
    return 6 if address.bits == 128 else 4
