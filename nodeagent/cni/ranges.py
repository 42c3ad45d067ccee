"""The `ipam` section of a network configuration: ranges of addresses (host-local's own format).

Source: the documentation of containernetworking's host-local plugin.
"""

from __future__ import annotations

from .addresses import Network, format_ip, next_ip, parse_ip, parse_network
from .errors import DECODING_FAILURE, INVALID_CONFIG, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .call import Call

DATA_DIR = "/var/lib/cni/networks"


class Range:
    """Addresses `first` to `last`, both included, of `subnet`, without `gateway`."""

    __slots__ = ("first", "gateway", "last", "subnet")

    def __init__(self, subnet: Network, first: bytes, last: bytes, gateway: bytes) -> None:
        self.subnet, self.first, self.last, self.gateway = subnet, first, last, gateway

    def contains(self, ip: bytes) -> bool:
        return len(ip) == len(self.first) and self.first <= ip <= self.last

    def overlaps(self, other: Range) -> bool:
        return any((
            self.contains(other.first), self.contains(other.last),
            other.contains(self.first), other.contains(self.last),
        ))  # fmt: skip

    def __str__(self) -> str:
        return f"{format_ip(self.first)}-{format_ip(self.last)}"


RangeSet = list[Range]


class Ipam:
    """Where addresses come from. range_sets: one address is taken of each. requested: addresses asked for by name."""

    __slots__ = ("data_dir", "range_sets", "requested", "resolv_conf", "routes")

    def __init__(
        self,
        data_dir: str,
        range_sets: list[RangeSet],
        routes: list[dict[str, Any]],
        resolv_conf: str,
        requested: list[bytes],
    ) -> None:
        self.data_dir, self.range_sets, self.routes = data_dir, range_sets, routes
        self.resolv_conf, self.requested = resolv_conf, requested


def load(call: Call) -> Ipam:
    """Read and check the section. Raises CniError naming what is wrong."""
    section = call.config.get("ipam")
    if not isinstance(section, dict):
        raise CniError(INVALID_CONFIG, "IPAM config missing 'ipam' key")
    runtime = call.config.get("runtimeConfig") or {}
    raw = [*(runtime.get("ipRanges") or [])]
    if section.get("subnet"):
        raw.append([{key: section.get(key) for key in ("subnet", "rangeStart", "rangeEnd", "gateway")}])
    raw += section.get("ranges") or []
    if not raw:
        raise CniError(INVALID_CONFIG, "no IP ranges specified")
    sets = [_range_set(number, entries) for number, entries in enumerate(raw)]
    for number, one in enumerate(sets):
        for later, other in enumerate(sets[number + 1 :], number + 1):
            if any(a.overlaps(b) for a in one for b in other):
                raise CniError(INVALID_CONFIG, f"range set {number} overlaps with {later}")
    return Ipam(
        section.get("dataDir") or DATA_DIR,
        sets,
        [_route(route) for route in section.get("routes") or []],
        section.get("resolvConf") or "",
        _requested(call, runtime),
    )


def _requested(call: Call, runtime: dict[str, Any]) -> list[bytes]:
    """Addresses by the conventions CNI_ARGS `IP=`, `args.cni.ips` and the capability `ips`; a prefix is ignored."""
    texts = [call.args["IP"]] if call.args.get("IP") else []
    texts += ((call.config.get("args") or {}).get("cni") or {}).get("ips") or []
    texts += runtime.get("ips") or []
    found = []
    for text in texts:
        try:
            found.append(parse_ip(str(text).partition("/")[0]))
        except ValueError as error:
            raise CniError(INVALID_CONFIG, f"cannot understand ip: {error}") from None
    return found


def _range_set(number: int, entries: object) -> RangeSet:
    try:
        if not isinstance(entries, list) or not entries:
            raise ValueError("empty range set")
        found = [_range(entry) for entry in entries]
        if len({len(entry.first) for entry in found}) > 1:
            raise ValueError("mixed address families")
        for index, one in enumerate(found):
            for other in found[index + 1 :]:
                if one.overlaps(other):
                    raise ValueError(f"subnets {one} and {other} overlap")
    except ValueError as error:
        raise CniError(INVALID_CONFIG, f"invalid range set {number}: {error}") from None
    return found


def _range(entry: object) -> Range:
    if not isinstance(entry, dict) or not isinstance(entry.get("subnet"), str):
        raise ValueError("a range needs a subnet")
    subnet = parse_network(entry["subnet"])
    if subnet.prefix > subnet.bits - 2:
        raise ValueError(f"Network {subnet} too small to allocate from")
    if subnet.network != subnet.ip:
        raise ValueError(
            f"Network has host bits set. For a subnet mask of length {subnet.prefix} "
            f"the network address is {format_ip(subnet.network)}"
        )
    gateway = parse_ip(entry["gateway"]) if entry.get("gateway") else next_ip(subnet.network)
    first = parse_ip(entry["rangeStart"]) if entry.get("rangeStart") else next_ip(subnet.network)
    # The highest IPv4 address of a subnet is its broadcast; IPv6 has none.
    last = next_ip(subnet.last, -1) if subnet.bits == 32 else subnet.last
    if entry.get("rangeEnd"):
        last = parse_ip(entry["rangeEnd"])
    if not subnet.contains(first):
        raise ValueError(f"RangeStart {format_ip(first)} not in network {subnet}")
    if not subnet.contains(last) or last < first:
        raise ValueError(f"RangeEnd {format_ip(last)} not in network {subnet}")
    return Range(subnet, first, last, gateway)


def _route(route: object) -> dict[str, Any]:
    if not isinstance(route, dict) or not isinstance(route.get("dst"), str):
        raise CniError(DECODING_FAILURE, "a route needs a dst")
    try:
        parse_network(route["dst"])
        if route.get("gw"):
            parse_ip(route["gw"])
    except ValueError as error:
        raise CniError(DECODING_FAILURE, str(error)) from None
    return {**route}
