"""Requests that change nf_tables (linux/netfilter/nf_tables.h), for `Netlink.transact`. Pure.

Numbers are in network order, addresses and ports too. A verdict is (code, chain); a chain's name is "" where the code
leads to none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from .nf_tables import HEADER, NFNL_SUBSYS_NFTABLES
from .wire import NLM_F_APPEND, NLM_F_CREATE, Request, attribute, nested, text

NF_DROP, NFT_JUMP, NFT_GOTO = 0, -3, -4
NFT_REG_VERDICT, NFT_REG_1, NFT_REG_2 = 0, 1, 2
NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER = 1, 2
NFT_META_L4PROTO = 16
NFT_SET_ANONYMOUS, NFT_SET_CONSTANT, NFT_SET_MAP, NFT_SET_TIMEOUT, NFT_SET_EVAL = 0x1, 0x2, 0x8, 0x10, 0x20
NFT_DATA_VERDICT = 0xFFFFFF00
NFTA_LIST_ELEM, NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 1, 2
# Types of the nft program, for its listings.
TYPE_INTEGER, TYPE_IPV4_ADDR, TYPE_IPV6_ADDR = 4, 7, 8
ANONYMOUS_MAP = "__map%d"
Verdict = tuple[int, str]


def _udata(kind: int, payload: bytes) -> bytes:
    """What nft notes for itself beside objects: type, length, value, each of them in bytes."""
    return bytes((kind, len(payload))) + payload


_HOST_ORDER, _UNKNOWN_ORDER = struct.pack("=I", 1), struct.pack("=I", 0)
# Of a map whose keys are random numbers: byte order of keys and data, that keys come of numgen, no intervals.
_NUMGEN_MAP = (
    _udata(0, _HOST_ORDER)
    + _udata(1, _UNKNOWN_ORDER)
    + _udata(4, _udata(0, _HOST_ORDER) + _udata(1, b""))
    + _udata(6, _UNKNOWN_ORDER)
)
_NETWORK_ORDER_SET = _udata(0, struct.pack("=I", 2))


def add_chain(family: int, table: str, name: str) -> Request:
    """One that is there already is left alone."""
    return _request(3, family, text(1, table), text(3, name), flags=NLM_F_CREATE)


def delete_chain(family: int, table: str, name: str) -> Request:
    return _request(5, family, text(1, table), text(3, name))


def flush_chain(family: int, table: str, name: str) -> Request:
    return _request(8, family, text(1, table), text(2, name))


def add_rule(family: int, table: str, chain: str, expressions: Iterable[bytes], comment: str = "") -> Request:
    """At the end of the chain."""
    userdata = attribute(7, _comment(comment)) if comment else b""
    return _request(
        6, family, text(1, table), text(2, chain), nested(4, *expressions), userdata, flags=NLM_F_CREATE | NLM_F_APPEND
    )


def add_affinity_set(family: int, table: str, name: str, key_type: int, key_length: int, seconds: int) -> Request:
    """A set of addresses that rules add to and that forgets them."""
    timeout = struct.pack(">Q", seconds * 1000)
    return _request(
        9, family, text(1, table), text(2, name), _be32(3, NFT_SET_TIMEOUT | NFT_SET_EVAL), _be32(4, key_type),
        _be32(5, key_length), _be32(10, 0), attribute(11, timeout), attribute(13, _NETWORK_ORDER_SET),
        flags=NLM_F_CREATE,
    )  # fmt: skip


def add_numgen_map(family: int, table: str, number: int, size: int) -> Request:
    """The anonymous map of a rule that follows. number: what elements and rule of this transaction call it by."""
    flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_MAP
    return _request(
        9, family, text(1, table), text(2, ANONYMOUS_MAP), _be32(3, flags), _be32(4, TYPE_INTEGER), _be32(5, 4),
        _be32(6, NFT_DATA_VERDICT), _be32(7, 0), _be32(10, number), nested(9, _be32(1, size)),
        attribute(13, _NUMGEN_MAP), flags=NLM_F_CREATE,
    )  # fmt: skip


def delete_set(family: int, table: str, name: str) -> Request:
    return _request(11, family, text(1, table), text(2, name))


def element(key: bytes, verdict: Verdict | None = None, comment: str = "") -> bytes:
    parts = [nested(1, attribute(NFTA_DATA_VALUE, key))]
    if verdict is not None:
        parts.append(nested(2, _verdict(verdict)))
    if comment:
        parts.append(attribute(6, _comment(comment)))
    return nested(NFTA_LIST_ELEM, *parts)


def add_elements(family: int, table: str, name: str, elements: Iterable[bytes], number: int = 0) -> Request:
    """number: of an anonymous map of this transaction."""
    called = _be32(4, number) if number else b""
    return _request(12, family, text(1, table), text(2, name), called, nested(3, *elements), flags=NLM_F_CREATE)


def delete_elements(family: int, table: str, name: str, elements: Iterable[bytes]) -> Request:
    return _request(14, family, text(1, table), text(2, name), nested(3, *elements))


def load_payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _be32(1, NFT_REG_1), _be32(2, base), _be32(3, offset), _be32(4, length))


def load_meta(key: int) -> bytes:
    return _expression("meta", _be32(2, key), _be32(1, NFT_REG_1))


def load_source_type() -> bytes:
    """What the routing table says of the source address: unicast, local, and so on."""
    return _expression("fib", _be32(3, 1), _be32(2, 3), _be32(1, NFT_REG_1))


def load_random(modulus: int) -> bytes:
    return _expression("numgen", _be32(1, NFT_REG_1), _be32(2, modulus), _be32(3, 1), _be32(4, 0))


def mask(bits: bytes) -> bytes:
    zero = nested(5, attribute(NFTA_DATA_VALUE, bytes(len(bits))))
    ones = nested(4, attribute(NFTA_DATA_VALUE, bits))
    return _expression(
        "bitwise", _be32(1, NFT_REG_1), _be32(2, NFT_REG_1), _be32(6, 0), _be32(3, len(bits)), ones, zero
    )


def compare(value: bytes, *, negate: bool = False) -> bytes:
    return _expression("cmp", _be32(1, NFT_REG_1), _be32(2, int(negate)), nested(3, attribute(NFTA_DATA_VALUE, value)))


def lookup(name: str) -> bytes:
    """Go on when what is loaded is in the set."""
    return _expression("lookup", _be32(2, NFT_REG_1), text(1, name))


def lookup_verdict(number: int) -> bytes:
    """Do what the anonymous map of that number says."""
    return _expression(
        "lookup", _be32(2, NFT_REG_1), _be32(3, NFT_REG_VERDICT), text(1, ANONYMOUS_MAP), _be32(4, number)
    )


def update_set(name: str) -> bytes:
    """Put what is loaded into the set, for as long as the set keeps it."""
    return _expression("dynset", _be32(4, NFT_REG_1), _be32(3, 1), text(1, name))


def verdict(code: int, chain: str = "") -> bytes:
    return _expression("immediate", _be32(1, NFT_REG_VERDICT), nested(2, _verdict((code, chain))))


def dnat(family: int, address: bytes, port: bytes) -> Iterable[bytes]:
    yield _expression("immediate", _be32(1, NFT_REG_1), nested(2, attribute(NFTA_DATA_VALUE, address)))
    second = NFT_REG_2
    yield _expression("immediate", _be32(1, second), nested(2, attribute(NFTA_DATA_VALUE, port)))
    yield _expression("nat", _be32(1, 1), _be32(2, family), _be32(3, NFT_REG_1), _be32(5, second), _be32(7, 2))


def _request(kind: int, family: int, *attributes: bytes, flags: int = 0) -> Request:
    return Request(NFNL_SUBSYS_NFTABLES << 8 | kind, HEADER.pack(family, 0, 0) + b"".join(attributes), flags)


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(NFTA_LIST_ELEM, text(1, name), nested(2, *attributes))


def _verdict(value: Verdict) -> bytes:
    code, chain = value
    return nested(NFTA_DATA_VERDICT, attribute(1, struct.pack(">i", code)), text(2, chain) if chain else b"")


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _comment(words: str) -> bytes:
    return _udata(0, words.encode() + b"\0")
