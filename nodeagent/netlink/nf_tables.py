"""nf_tables in the kernel (linux/netfilter/nf_tables.h): what a table holds, counted.

The socket must be a NETLINK_NETFILTER one. Families are the kernel's: AF_INET for tables of `ip`, AF_INET6 of `ip6`.
"""

from __future__ import annotations

import errno
import struct

from .wire import NLA_TYPE_MASK, Netlink, NetlinkError, as_text, parse_attributes, text

NFNL_SUBSYS_NFTABLES = 10
_SUBSYSTEM = NFNL_SUBSYS_NFTABLES << 8
NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE = _SUBSYSTEM | 1, _SUBSYSTEM | 4, _SUBSYSTEM | 7
NFT_MSG_GETSET, NFT_MSG_GETSETELEM = _SUBSYSTEM | 10, _SUBSYSTEM | 13
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME = 1, 3
NFTA_RULE_TABLE, NFTA_RULE_CHAIN = 1, 2
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_TIMEOUT = 1, 2, 3, 11
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFT_SET_ANONYMOUS = 0x1

HEADER = struct.Struct(">BBH")  # family, version, resource
_ATTRIBUTE = struct.Struct("=HH")


def chains(netlink: Netlink, family: int, table: str) -> set[str]:
    """The chains of a table; none where there is no such table."""
    found = set()
    for body in _dump(netlink, NFT_MSG_GETCHAIN, HEADER.pack(family, 0, 0)):
        attributes = parse_attributes(body, HEADER.size)
        if body[0] == family and as_text(attributes.get(NFTA_CHAIN_TABLE, b"")) == table:
            found.add(as_text(attributes[NFTA_CHAIN_NAME]))
    return found


def count_rules(netlink: Netlink, family: int, table: str) -> dict[str, int]:
    """How many rules each chain of a table has; a chain that has none is left out."""
    counts: dict[bytes, int] = {}
    for body in _dump(netlink, NFT_MSG_GETRULE, HEADER.pack(family, 0, 0) + text(NFTA_RULE_TABLE, table)):
        chain = _first(body, NFTA_RULE_CHAIN)
        counts[chain] = counts.get(chain, 0) + 1
    return {as_text(chain): count for chain, count in counts.items()}


def sets(netlink: Netlink, family: int, table: str) -> dict[str, float]:
    """The named sets and maps of a table, with the seconds that an element stays; 0 for ever."""
    found = {}
    for body in _dump(netlink, NFT_MSG_GETSET, HEADER.pack(family, 0, 0) + text(NFTA_SET_TABLE, table)):
        attributes = parse_attributes(body, HEADER.size)
        if not int.from_bytes(attributes.get(NFTA_SET_FLAGS, b""), "big") & NFT_SET_ANONYMOUS:
            milliseconds = int.from_bytes(attributes.get(NFTA_SET_TIMEOUT, b""), "big")
            found[as_text(attributes[NFTA_SET_NAME])] = milliseconds / 1000
    return found


def count_elements(netlink: Netlink, family: int, table: str, name: str) -> int:
    """How many elements a set or map has; 0 where there is none."""
    wanted = text(NFTA_SET_ELEM_LIST_TABLE, table) + text(NFTA_SET_ELEM_LIST_SET, name)
    count = 0
    for body in _dump(netlink, NFT_MSG_GETSETELEM, HEADER.pack(family, 0, 0) + wanted):
        elements = parse_attributes(body, HEADER.size).get(NFTA_SET_ELEM_LIST_ELEMENTS, b"")
        offset = 0
        while offset + _ATTRIBUTE.size <= len(elements):
            length = max(_ATTRIBUTE.unpack_from(elements, offset)[0], _ATTRIBUTE.size)
            offset += length + (-length % 4)
            count += 1
    return count


def _first(body: bytes, kind: int) -> bytes:
    """The payload of the first attribute of that kind: a rule's expressions, which follow, are not looked through."""
    offset = HEADER.size
    while offset + _ATTRIBUTE.size <= len(body):
        length, found = _ATTRIBUTE.unpack_from(body, offset)
        if found & NLA_TYPE_MASK == kind:
            return body[offset + _ATTRIBUTE.size : offset + length]
        offset += max(length, _ATTRIBUTE.size) + (-length % 4)
    return b""


def _dump(netlink: Netlink, kind: int, body: bytes) -> list[bytes]:
    try:
        return netlink.dump(kind, body)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
