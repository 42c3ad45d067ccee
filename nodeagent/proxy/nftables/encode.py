"""A change as netlink messages, without the nft program. Pure.

nft reads what the table holds before it writes: a tenth of a second at 5,000 services, whatever the change. What an
endpoint's coming and going writes is known here, word by word as `plan` has it; of anything else (source ranges, the
chains that are no service's) nothing is encoded, and nft does the whole change.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

from nodeagent.netlink import nf_messages as nf
from nodeagent.netlink.links import AF_INET, AF_INET6
from nodeagent.netlink.wire import Request

from . import names
from .plan import Element
from .state import Change, Value

MAX_BYTES = 64 * 1024  # of a change: what a socket takes at once whatever the machine's limits
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_RTN_LOCAL = struct.pack("=I", 2)
_SOURCE, _DESTINATION = {AF_INET: 12, AF_INET6: 8}, {AF_INET: 16, AF_INET6: 24}


class NotKnownError(Exception):
    """What is to be written is none of the kinds known here."""


def encode_change(change: Change, family: int) -> list[Request] | None:
    """In one transaction, or None when nft has to do it. family: 4 or 6."""
    encoder = _Encoder(AF_INET if family == 4 else AF_INET6)
    try:
        requests = list(encoder.change(change))
    except NotKnownError:
        return None
    return requests if sum(len(request.body) + 16 for request in requests) < MAX_BYTES else None


def encode_deletion(chains: list[str], family: int) -> list[Request]:
    return [nf.delete_chain(AF_INET if family == 4 else AF_INET6, names.TABLE, name) for name in chains]


class _Encoder:
    """One transaction of a family: numbers its anonymous maps."""

    def __init__(self, family: int) -> None:
        self._family, self._maps = family, 0
        self._length = 4 if family == AF_INET else 16
        self._word = "ip" if family == AF_INET else "ip6"

    def change(self, change: Change) -> Iterator[Request]:
        """In the order of `render`: what is referred to comes first, what refers goes first."""
        to = (self._family, names.TABLE)
        for name in change.made:
            yield nf.add_chain(*to, name)
        for name in (*(name for name in change.chains if name not in change.made), *change.drop):
            yield nf.flush_chain(*to, name)
        for name in change.remove:
            yield nf.delete_chain(*to, name)
        for name in change.delete_sets:
            yield nf.delete_set(*to, name)
        key_type = nf.TYPE_IPV4_ADDR if self._family == AF_INET else nf.TYPE_IPV6_ADDR
        for name, seconds in change.add_sets.items():
            yield nf.add_affinity_set(*to, name, key_type, self._length, seconds)
        for chain, rules in change.chains.items():
            for rule in rules:
                yield from self.rule(chain, rule)
        for element in change.delete_elements:
            yield nf.delete_elements(*to, element[0], [nf.element(_key(element))])
        for element, value in change.add_elements.items():
            yield nf.add_elements(*to, element[0], [_element(element, value)])

    def rule(self, chain: str, rule: str) -> Iterator[Request]:
        """The rule, and before it what it refers to by number. Raises NotKnownError."""
        rule, _, comment = rule.partition(' comment "')
        words = iter(rule.split())
        expressions: list[bytes] = []
        for word in words:
            if word == self._word:
                expressions += self._address(next(words), next(words), words)
            elif word in _PROTOCOLS and next(words) == "dport":
                expressions += [*_protocol(word), nf.load_payload(nf.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)]
                expressions.append(nf.compare(_port(next(words))))
            elif word == "meta" and next(words) == "l4proto":
                expressions += _protocol(next(words))
            elif word == "fib" and [next(words) for _ in range(3)] == ["saddr", "type", "local"]:
                expressions += [nf.load_source_type(), nf.compare(_RTN_LOCAL)]
            elif word in ("jump", "goto"):
                expressions.append(nf.verdict(*_verdict(f"{word} {next(words)}")))
            elif word == "dnat" and next(words) == "to":
                host, _, port = next(words).rpartition(":")
                expressions += nf.dnat(self._family, ipaddress.ip_address(host.strip("[]")).packed, _port(port))
            elif word == "update":
                name = next(words)[1:]
                expressions += [*self._load(" ".join(words)), nf.update_set(name)]
            elif word == "numgen":
                yield from self._choice(" ".join(words), expressions)
            else:
                raise NotKnownError(rule)
        yield nf.add_rule(self._family, names.TABLE, chain, expressions, comment.rstrip('"'))

    def _address(self, field: str, value: str, words: Iterator[str]) -> Iterator[bytes]:
        negate = value == "!="
        value = next(words) if negate else value
        if value.startswith("{"):
            raise NotKnownError(value)
        offset = (_SOURCE if field == "saddr" else _DESTINATION)[self._family]
        if value.startswith("@"):
            yield nf.load_payload(nf.NFT_PAYLOAD_NETWORK_HEADER, offset, self._length)
            yield nf.lookup(value[1:])
            return
        network = ipaddress.ip_network(value)
        whole, rest = divmod(network.prefixlen, 8)
        length = whole if whole and not rest else self._length
        yield nf.load_payload(nf.NFT_PAYLOAD_NETWORK_HEADER, offset, length)
        if length == self._length and network.prefixlen < 8 * self._length:
            yield nf.mask(network.netmask.packed)
        yield nf.compare(network.network_address.packed[:length], negate=negate)

    def _load(self, words: str) -> Iterator[bytes]:
        if words != f"{{ {self._word} saddr }}":
            raise NotKnownError(words)
        yield nf.load_payload(nf.NFT_PAYLOAD_NETWORK_HEADER, _SOURCE[self._family], self._length)

    def _choice(self, words: str, expressions: list[bytes]) -> Iterator[Request]:
        """`random mod N vmap { 0 : goto A, … }`: one of N chains by chance."""
        head, _, rest = words.partition(" vmap { ")
        entries = [entry.partition(" : ")[::2] for entry in rest.removesuffix(" }").split(", ")]
        if head != f"random mod {len(entries)}":
            raise NotKnownError(words)
        self._maps += 1
        to, number = (self._family, names.TABLE), self._maps
        yield nf.add_numgen_map(*to, number, len(entries))
        elements = [nf.element(struct.pack("=I", int(key)), _verdict(value)) for key, value in entries]
        yield nf.add_elements(*to, nf.ANONYMOUS_MAP, elements, number)
        expressions += [nf.load_random(len(entries)), nf.lookup_verdict(number)]


def _protocol(word: str) -> Iterator[bytes]:
    yield nf.load_meta(nf.NFT_META_L4PROTO)
    yield nf.compare(bytes([_PROTOCOLS[word]]))


def _port(text: str) -> bytes:
    return int(text).to_bytes(2, "big")


def _verdict(text: str) -> nf.Verdict:
    if text == "drop":
        return nf.NF_DROP, ""
    word, _, chain = text.partition(" ")
    return nf.NFT_JUMP if word == "jump" else nf.NFT_GOTO, chain


def _element(element: Element, value: Value) -> bytes:
    verdict, comment = value
    return nf.element(_key(element), _verdict(verdict) if verdict else None, comment)


def _key(element: Element) -> bytes:
    """The parts of a key, each padded to four bytes."""
    found = b""
    for part in element[1].split(" . "):
        if part in _PROTOCOLS:
            packed = bytes([_PROTOCOLS[part]])
        else:
            packed = _port(part) if part.isdecimal() else ipaddress.ip_address(part).packed
        found += packed + bytes(-len(packed) % 4)
    return found
