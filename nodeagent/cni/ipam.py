"""Address management: which address an attachment gets, round robin, so that a freed one rests as long as possible."""

from __future__ import annotations

from .addresses import format_ip, next_ip
from .errors import ADDRESS_TAKEN, INTERFACE_MISMATCH, NO_ADDRESS, CniError
from .leases import Leases
from .ranges import Ipam, Range, RangeSet, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Set
    from typing import Any

    from .alive import Alive
    from .call import Call

    Result = dict[str, Any]


def add(call: Call, alive: Alive | None = None) -> Result:
    """Reserve one address of each range set; all of them or none. Returns `ips`, `routes` and `dns`.

    alive: what is known of addresses in use; a lease that was lost is made anew when its turn comes.
    """
    ipam = load(call)
    with Leases(ipam.data_dir, call.network) as leases:
        _refuse_second(leases, ipam, call)
        try:
            ips = _reserve_all(leases, ipam, call, alive)
        except BaseException:
            leases.release(call.container, call.interface)
            raise
    result: Result = {"ips": ips, "dns": _resolver(ipam.resolv_conf) if ipam.resolv_conf else {}}
    if ipam.routes:
        result["routes"] = ipam.routes
    return result


def delete(call: Call) -> list[bytes]:
    """Release what the attachment holds; returns the addresses. Holding nothing is success."""
    with Leases(load(call).data_dir, call.network) as leases:
        return leases.release(call.container, call.interface)


def check(call: Call) -> None:
    with Leases(load(call).data_dir, call.network) as leases:
        if not leases.held_by(call.container, call.interface):
            raise CniError(
                INTERFACE_MISMATCH, f"host-local: Failed to find address added by container {call.container}"
            )


def collect(call: Call, valid: Set[tuple[str, str]]) -> list[bytes]:
    """Release the leases of attachments that the runtime no longer knows; returns the addresses."""
    with Leases(load(call).data_dir, call.network) as leases:
        return leases.release_others(valid)


def has_room(call: Call) -> bool:
    """Whether every range set has an address left."""
    ipam = load(call)
    with Leases(ipam.data_dir, call.network) as leases:
        taken = leases.taken()
    return all(any(ip not in taken for ip, _ in candidates(ranges, None)) for ranges in ipam.range_sets)


def candidates(ranges: RangeSet, last: bytes | None) -> Iterator[tuple[bytes, Range]]:
    """The set's addresses, each once, from the one behind `last` round to `last`; without gateways."""
    start = next((number for number, entry in enumerate(ranges) if last is not None and entry.contains(last)), None)
    if start is None or last is None:
        for entry in ranges:
            yield from _span(entry, entry.first, entry.last)
        return
    begin = ranges[start]
    if last < begin.last:
        yield from _span(begin, next_ip(last), begin.last)
    for entry in ranges[start + 1 :] + ranges[:start]:
        yield from _span(entry, entry.first, entry.last)
    yield from _span(begin, begin.first, last)


def _span(entry: Range, first: bytes, last: bytes) -> Iterator[tuple[bytes, Range]]:
    ip = first
    while True:
        if ip != entry.gateway:
            yield ip, entry
        if ip == last:
            return
        ip = next_ip(ip)


def _refuse_second(leases: Leases, ipam: Ipam, call: Call) -> None:
    held = leases.held_by(call.container, call.interface)
    for number, ranges in enumerate(ipam.range_sets):
        for ip in held:
            if any(entry.contains(ip) for entry in ranges):
                raise CniError(
                    ADDRESS_TAKEN,
                    f"failed to allocate for range {number}: {format_ip(ip)} has been allocated to {call.container}, "
                    "duplicate allocation is not allowed",
                )


def _reserve_all(leases: Leases, ipam: Ipam, call: Call, alive: Alive | None) -> list[dict[str, str]]:
    left = list(dict.fromkeys(ipam.requested))
    ips = []
    for number, ranges in enumerate(ipam.range_sets):
        wanted = next((ip for ip in left if any(entry.contains(ip) for entry in ranges)), None)
        if wanted is not None:
            left.remove(wanted)
            ip, entry = _reserve_wanted(leases, call, number, ranges, wanted, alive)
        else:
            ip, entry = _reserve_next(leases, call, number, ranges, alive)
        ips.append({"address": f"{format_ip(ip)}/{entry.subnet.prefix}", "gateway": format_ip(entry.gateway)})
    if left:
        words = " ".join(format_ip(ip) for ip in left)
        raise CniError(NO_ADDRESS, f"failed to allocate all requested IPs: {words}")
    return ips


def _reserve_wanted(
    leases: Leases, call: Call, number: int, ranges: RangeSet, wanted: bytes, alive: Alive | None
) -> tuple[bytes, Range]:
    entry = next(entry for entry in ranges if entry.contains(wanted))
    if wanted == entry.gateway:
        raise CniError(
            NO_ADDRESS, f"failed to allocate for range {number}: requested ip {format_ip(wanted)} is subnet's gateway"
        )
    if _in_use(leases, alive, wanted) or not leases.reserve(wanted, call.container, call.interface, number):
        raise CniError(
            NO_ADDRESS,
            f"failed to allocate for range {number}: requested IP address {format_ip(wanted)} "
            f"is not available in range set {_names(ranges)}",
        )
    return wanted, entry


def _reserve_next(
    leases: Leases, call: Call, number: int, ranges: RangeSet, alive: Alive | None
) -> tuple[bytes, Range]:  # fmt: skip
    taken = leases.taken()
    for ip, entry in candidates(ranges, leases.last_reserved(number)):
        if ip in taken or _in_use(leases, alive, ip):
            continue
        if leases.reserve(ip, call.container, call.interface, number):
            return ip, entry
    raise CniError(
        NO_ADDRESS,
        f"failed to allocate for range {number}: no IP addresses available in range set: {_names(ranges)}",
    )


def _in_use(leases: Leases, alive: Alive | None, ip: bytes) -> bool:
    """Whether a pod has the address for which there is no lease."""
    if alive is None:
        return False
    holder = alive.holder(ip)
    if holder is not None:
        leases.reserve(ip, *holder)
    return holder is not None or alive.answers(ip)


def _names(ranges: RangeSet) -> str:
    return ",".join(str(entry) for entry in ranges)


def _resolver(path: str) -> dict[str, Any]:
    """The `dns` of a result from a resolv.conf."""
    found: dict[str, Any] = {}
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - see leases.py
        for line in file:
            words = line.split()
            if len(words) < 2 or words[0][0] in "#;":
                continue
            if words[0] == "nameserver":
                found.setdefault("nameservers", []).append(words[1])
            elif words[0] == "domain":
                found["domain"] = words[1]
            elif words[0] in ("search", "options"):
                found.setdefault(words[0], []).extend(words[1:])
    return found
