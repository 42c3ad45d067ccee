"""hostPort: ports of the machine that lead to a pod. Chains and rules are those of the reference's `portmap`.

PREROUTING and OUTPUT lead what is addressed to the machine to CNI-HOSTPORT-DNAT; there a rule for each pod leads on to
CNI-DN-…; what comes from the pod itself or from 127.0.0.1 is marked and masqueraded in CNI-HOSTPORT-MASQ.
"""

from __future__ import annotations

from . import netfilter
from .addresses import Network, format_ip, parse_ip
from .errors import INTERFACE_MISMATCH, INVALID_CONFIG, CniError
from .masquerade import chain_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set
    from typing import Any

    PortMapping = dict[str, Any]

DNAT, SET_MARK, MASQUERADE = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
MARK = "0x2000/0x2000"  # bit 13; Kubernetes has 14 and 15
_PROTOCOLS = ("sctp", "tcp", "udp")
_MULTIPORT_MAX = 15

# Rules as iptables-save prints them: what is compared with what is there.
_JUMPS = (
    f"-A PREROUTING -m addrtype --dst-type LOCAL -j {DNAT}",
    f"-A OUTPUT -m addrtype --dst-type LOCAL -j {DNAT}",
)
_MASQUERADE_JUMP = f'POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j {MASQUERADE}'


def ensure(network: str, container: str, mappings: list[PortMapping], addresses: list[Network]) -> None:
    """Write the pod's chain anew and what leads to it. Raises CniError for a mapping that makes no sense."""
    checked = [_checked(mapping) for mapping in mappings]
    for family, address in _by_family(addresses).items():
        netfilter.restore(family, *plan_ensure(network, container, checked, address, netfilter.saved(family)))
        if ports := {mapping["hostPort"] for mapping in checked if mapping["protocol"] == "udp"}:
            _forget_stale(family, ports, address)
        if family == 4:
            from . import localhost

            localhost.ensure(address.ip)


def remove(network: str, container: str) -> None:
    """Nothing there is success."""
    for family in (4, 6):
        lines = plan_remove(network, container, netfilter.saved(family))
        if lines:
            netfilter.restore(family, *lines)


def check(network: str, container: str, mappings: list[PortMapping], addresses: list[Network]) -> None:
    """Raise CniError for a port that does not lead to the pod any more."""
    checked = [_checked(mapping) for mapping in mappings]
    for family, address in _by_family(addresses).items():
        missing = find_missing(network, container, checked, address, netfilter.saved(family))
        if missing:
            raise CniError(INTERFACE_MISMATCH, missing)


def collect(network: str, containers: Set[str]) -> None:
    """GC: remove the rules of the network's pods that are not among `containers`."""
    for family in (4, 6):
        lines = plan_collect(network, containers, netfilter.saved(family))
        if lines:
            netfilter.restore(family, *lines)


def plan_ensure(
    network: str, container: str, mappings: list[PortMapping], address: Network, present: list[str]
) -> list[str]:
    """The lines that turn `present` into what is wanted; pure. mappings: checked, of any family."""
    chain = chain_name(network, container, "DN-")
    local = [mapping for mapping in mappings if _fits(mapping, address)]
    lines = [f":{name} - [0:0]" for name in (chain, SET_MARK, MASQUERADE)]
    if f":{DNAT} " not in " ".join(line + " " for line in present if line.startswith(":")):
        lines.append(f":{DNAT} - [0:0]")
    lines += [jump for jump in _JUMPS if jump not in present]
    if f"-A {_MASQUERADE_JUMP}" not in present:
        # First, before the masquerading of whole pods, which would hide the mark.
        lines.append(f"-I {_MASQUERADE_JUMP}")
    lines.append(f'-A {SET_MARK} -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark {MARK}')
    lines.append(f"-A {MASQUERADE} -m mark --mark {MARK} -j MASQUERADE")
    lines += _delete_entries(chain, present)
    lines += _entries(network, container, chain, local)
    for mapping in local:
        lines += _rules(chain, mapping, address)
    return lines


def plan_remove(network: str, container: str, present: list[str]) -> list[str]:
    chain = chain_name(network, container, "DN-")
    if not any(line.startswith(f":{chain} ") for line in present):
        return []
    return _remove_chain(chain, present)


def plan_collect(network: str, containers: Set[str], present: list[str]) -> list[str]:
    """What removes the chains of pods that are not among `containers`; of this network only; pure."""
    kept = {chain_name(network, container, "DN-") for container in containers}
    note = netfilter.comment(f'dnat name: "{network}" id: "')[:-1]
    led = {line.split()[-1] for line in present if line.startswith(f"-A {DNAT} ") and note in line}
    return [line for chain in sorted(led - kept) for line in _remove_chain(chain, present)]


def find_missing(
    network: str, container: str, mappings: list[PortMapping], address: Network, present: list[str]
) -> str:
    """What is not as plan_ensure would have it, in a sentence; empty when all is there. mappings: checked; pure."""
    chain = chain_name(network, container, "DN-")
    for jump in (*_JUMPS, f"-A {_MASQUERADE_JUMP}"):
        if jump not in present:
            return f"rule {jump} is missing"
    entries = [line.split() for line in present if line.startswith(f"-A {DNAT} ") and line.split()[-1] == chain]
    led = {
        (words[words.index("-p") + 1], port)
        for words in entries
        for port in words[words.index("--dports") + 1].split(",")
    }
    for mapping in mappings:
        if not _fits(mapping, address):
            continue
        protocol, port = mapping["protocol"], str(mapping["hostPort"])
        ending = f" --dport {port} -j {_target(mapping, address)}"
        rules = [line for line in present if line.startswith(f"-A {chain} ") and line.endswith(ending)]
        if (protocol, port) not in led or not any(f" -p {protocol} " in line for line in rules):
            return f"host port {port}/{protocol} does not lead to {format_ip(address.ip)}"
    return ""


def _forget_stale(family: int, ports: Set[int], address: Network) -> None:
    """UDP has no end that the kernel could see: who goes on sending would go on to the pod that had the port before, or
    to nobody. A refusal is no failure: what is tracked ends some time."""
    # Imported where it is needed: every import delays every pod.
    from nodeagent.netlink import conntrack
    from nodeagent.netlink.links import AF_INET, AF_INET6
    from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink

    try:
        with Netlink(NETLINK_NETFILTER) as netlink:
            for flow in conntrack.list_flows(netlink, AF_INET if family == 4 else AF_INET6, {conntrack.IPPROTO_UDP}):
                if flow.destination_port in ports and flow.reply_source != address.ip:
                    conntrack.forget(netlink, flow)
    except OSError:
        return


def _remove_chain(chain: str, present: list[str]) -> list[str]:
    return [*_delete_entries(chain, present), f"-F {chain}", f"-X {chain}"]


def _delete_entries(chain: str, present: list[str]) -> list[str]:
    return ["-D" + line[2:] for line in present if line.startswith(f"-A {DNAT} ") and line.split()[-1] == chain]


def _entries(network: str, container: str, chain: str, mappings: list[PortMapping]) -> list[str]:
    note = netfilter.comment(f'dnat name: "{network}" id: "{container}"'[:255])
    lines = []
    for protocol in _PROTOCOLS:
        ports = sorted({mapping["hostPort"] for mapping in mappings if mapping["protocol"] == protocol})
        for start in range(0, len(ports), _MULTIPORT_MAX):
            listed = ",".join(str(port) for port in ports[start : start + _MULTIPORT_MAX])
            lines.append(f"-A {DNAT} -p {protocol} {note} -m multiport --dports {listed} -j {chain}")
    return lines


def _rules(chain: str, mapping: PortMapping, address: Network) -> list[str]:
    host = parse_ip(mapping["hostIP"]) if mapping["hostIP"] else b""
    to = f"-d {format_ip(host)} " if any(host) else ""
    base = f"-A {chain} {to}-p {mapping['protocol']} --dport {mapping['hostPort']}"
    lines = [f"{base} -s {format_ip(address.network)}/{address.prefix} -j {SET_MARK}"]
    if address.bits == 32:
        lines.append(f"{base} -s 127.0.0.1 -j {SET_MARK}")
    return [*lines, f"{base} -j {_target(mapping, address)}"]


def _target(mapping: PortMapping, address: Network) -> str:
    pod = format_ip(address.ip)
    return f"DNAT --to-destination {pod if address.bits == 32 else f'[{pod}]'}:{mapping['containerPort']}"


def _checked(mapping: object) -> PortMapping:
    if not isinstance(mapping, dict):
        raise CniError(INVALID_CONFIG, "a port mapping is not an object")
    for field, what in (("containerPort", "container"), ("hostPort", "host")):
        port = mapping.get(field)
        if not isinstance(port, int) or not 0 < port < 65536:
            raise CniError(INVALID_CONFIG, f"Invalid {what} port number: {port}")
    protocol = str(mapping.get("protocol") or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise CniError(INVALID_CONFIG, f"Invalid protocol: {protocol}")
    host = mapping.get("hostIP") or ""
    try:
        if host:
            parse_ip(host)
    except ValueError as error:
        raise CniError(INVALID_CONFIG, str(error)) from None
    return {**mapping, "protocol": protocol, "hostIP": host}


def _fits(mapping: PortMapping, address: Network) -> bool:
    return not mapping["hostIP"] or len(parse_ip(mapping["hostIP"])) * 8 == address.bits


def _by_family(addresses: list[Network]) -> dict[int, Network]:
    """The first address of each family."""
    found: dict[int, Network] = {}
    for address in addresses:
        found.setdefault(6 if address.bits == 128 else 4, address)
    return found
