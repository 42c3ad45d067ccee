"""The DNS wire format: RFC 1035 section 4, with EDNS0 (RFC 6891) and SRV (RFC 2782); queries in, answers out. No I/O.

Names are tuples of lower-case labels, without the root: ("web", "default", "svc", "cluster", "local").
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field, replace

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, DNAME, OPT = 1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 39, 41
IXFR, AXFR, ANY = 251, 252, 255  # of questions only
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}
TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV",
    35: "NAPTR", 39: "DNAME", 43: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS",
    251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA",
}  # fmt: skip

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
DO = 0x8000  # of the OPT record's lower flags: DNSSEC OK (RFC 3225)

MAX_NAME, MAX_LABEL = 255, 63  # octets, RFC 1035 section 2.3.4
PLAIN_UDP = 512  # octets of an answer to a client without EDNS0
MAX_UDP = 1232  # octets we send at most over UDP: fits every path without fragments (DNS flag day 2020)

Name = tuple[str, ...]

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")


class BadMessage(ValueError):
    """Not a DNS message that we can answer in its own terms."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question.

    raw_question: the question as it came, for the answer must repeat its case. udp_size: what the client takes over
    UDP, in octets, at most what we send. edns: whether it spoke EDNS0, `version` of it. do: DNSSEC OK. said_size: the
    size it named itself, 0 without EDNS0.
    """

    id: int
    flags: int
    name: Name
    type: int
    cls: int
    raw_question: bytes
    edns: bool = False
    udp_size: int = PLAIN_UDP
    version: int = 0
    do: bool = False
    said_size: int = 0

    @property
    def opcode(self) -> int:
        return (self.flags >> 11) & 0xF


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record. data: what its type holds, made by `a`, `srv`, `name_data` and the like."""

    name: Name
    type: int
    ttl: int
    data: bytes | Name | tuple[int, int, int, Name]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered. authoritative: we are the zone's server. authenticated: another server says so (AD)."""

    rcode: int = NOERROR
    records: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True
    authenticated: bool = False


def parse_name(text: str) -> Name:
    """`Web.default.svc.` → its labels."""
    return tuple(label.lower() for label in text.rstrip(".").split(".") if label)


def is_name(value: object) -> bool:
    """Whether it is a name that a message can hold."""
    return (
        isinstance(value, tuple)
        and all(0 < len(label) <= MAX_LABEL for label in value)
        and sum(len(label) + 1 for label in value) < MAX_NAME
    )


def format_name(name: Name) -> str:
    return ".".join(name) + "."


def a(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def aaaa(address: str) -> bytes:
    return ipaddress.IPv6Address(address).packed


def txt(text: str) -> bytes:
    data = text.encode()
    return bytes([len(data)]) + data


def parse_query(data: bytes) -> Query:
    """Raises BadMessage for what is no query with exactly one question."""
    if len(data) < 12:
        raise BadMessage("shorter than a header")
    id_, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & QR:
        raise BadMessage("an answer, not a query")
    if questions != 1 or answers or authorities:
        raise BadMessage(f"{questions} questions, {answers} answers")
    name, offset = _read_name(data, 12)
    if offset + 4 > len(data):
        raise BadMessage("the question is cut off")
    qtype, qclass = struct.unpack_from("!HH", data, offset)
    raw = data[12 : offset + 4]
    return _with_edns(Query(id_, flags, name, qtype, qclass, raw), data, offset + 4, additionals)


def _with_edns(query: Query, data: bytes, offset: int, additionals: int) -> Query:
    for _ in range(min(additionals, 4)):  # a query carries OPT and perhaps TSIG; more is nobody's business here
        _, offset = _read_name(data, offset)
        if offset + 10 > len(data):
            raise BadMessage("a record is cut off")
        rtype, size, more, length = _RECORD.unpack_from(data, offset)
        offset += 10 + length
        if rtype == OPT:
            taken = max(PLAIN_UDP, min(size, MAX_UDP))
            return replace(
                query, edns=True, udp_size=taken, version=(more >> 16) & 0xFF, do=bool(more & DO), said_size=size
            )
    return query


def _read_name(data: bytes, offset: int) -> tuple[Name, int]:
    """A name without pointers: a query's question has nothing to point to, so that a loop cannot be spelled."""
    labels: list[str] = []
    length = 0
    while True:
        if offset >= len(data):
            raise BadMessage("a name is cut off")
        size = data[offset]
        offset += 1
        if size == 0:
            return tuple(labels), offset
        if size > MAX_LABEL:
            raise BadMessage("a compressed name in a query")
        length += size + 1
        if length >= MAX_NAME or offset + size > len(data):
            raise BadMessage("a name is too long or cut off")
        labels.append(data[offset : offset + size].lower().decode("latin-1"))
        offset += size


@dataclass(slots=True)
class _Writer:
    """Writes names compressed: each suffix once (RFC 1035 section 4.1.4)."""

    out: bytearray
    seen: dict[Name, int] = field(default_factory=dict)

    def name(self, name: Name) -> None:
        for index in range(len(name)):
            suffix = name[index:]
            at = self.seen.get(suffix)
            if at is not None:
                self.out += struct.pack("!H", 0xC000 | at)
                return
            if len(self.out) < 0x4000:
                self.seen[suffix] = len(self.out)
            label = suffix[0].encode("latin-1")
            self.out.append(len(label))
            self.out += label
        self.out.append(0)

    def record(self, record: Record, age: int) -> None:
        self.name(record.name)
        start = len(self.out)
        self.out += _RECORD.pack(record.type, IN, max(0, record.ttl - age), 0)
        data = record.data
        if isinstance(data, bytes):
            self.out += data
        elif record.type == SRV:
            priority, weight, port, target = data
            self.out += struct.pack("!HHH", priority, weight, port)
            self.out += plain_name(target)  # type: ignore[arg-type]  # RFC 2782: not compressed
        else:
            self.name(data)  # type: ignore[arg-type]
        struct.pack_into("!H", self.out, start + 8, len(self.out) - start - 10)


def soa(name: Name, ttl: int, serial: int) -> Record:
    """The zone's SOA with CoreDNS's numbers; its last one is for how long a refusal may be kept."""
    data = plain_name(("ns", "dns", *name)) + plain_name(("hostmaster", *name))
    return Record(name, SOA, ttl, data + struct.pack("!5I", serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl))


def plain_name(name: Name) -> bytes:
    """Its octets, not compressed."""
    parts = b"".join(bytes([len(label)]) + label.encode("latin-1") for label in name)
    return parts + b"\0"


def write_answer(query: Query, answer: Answer, limit: int = 65535, age: int = 0) -> bytes:
    """The message. What does not fit into `limit` octets is left out and TC set, so that the client asks over TCP.

    age: seconds that every record's life is shorter by, as it was kept for so long.
    """
    flags = QR | (query.flags & (0x7800 | RD | CD)) | RA | (answer.rcode & 0xF)
    flags |= AA if answer.authoritative else 0
    flags |= AD if answer.authenticated and (query.do or query.flags & AD) else 0
    room = limit - (11 if query.edns else 0)
    out = bytearray(_HEADER.size)
    out += query.raw_question
    writer = _Writer(out)
    if len(query.raw_question) > 4 + 1:
        offset = _HEADER.size
        for index, label in enumerate(query.name):
            writer.seen[query.name[index:]] = offset
            offset += len(label) + 1
    counts = [0, 0, 0]
    for section, records in enumerate((answer.records, answer.authority, answer.additional)):
        for record in records:
            whole = len(out)
            writer.record(record, age)
            if len(out) > room:
                # What lies beyond is not to be pointed to, so that nothing more is written.
                del out[whole:]
                flags |= TC if section < 2 else 0  # additional records are a courtesy (RFC 2181 section 9)
                break
            counts[section] += 1
        else:
            continue
        break
    if query.edns:
        out += b"\0" + _RECORD.pack(OPT, MAX_UDP, (answer.rcode >> 4) << 24 | (DO if query.do else 0), 0)
    _HEADER.pack_into(out, 0, query.id, flags, 1, counts[0], counts[1], counts[2] + (1 if query.edns else 0))
    return bytes(out)


def write_error(data: bytes, rcode: int) -> bytes | None:
    """An answer to a message that could not be parsed; None when it has not even an id, or is an answer itself."""
    if len(data) < 12:
        return None
    id_, flags = struct.unpack_from("!HH", data)
    if flags & QR:
        return None
    return _HEADER.pack(id_, QR | (flags & (0x7800 | RD)) | rcode, 0, 0, 0, 0)


def write_query(id_: int, name: Name, qtype: int, *, flags: int = RD, do: bool = False) -> bytes:
    """A query with EDNS0, for another server; recursive unless `flags` say otherwise."""
    question = plain_name(name) + struct.pack("!HH", qtype, IN)
    return _HEADER.pack(id_, flags, 1, 0, 0, 1) + question + b"\0" + _RECORD.pack(OPT, MAX_UDP, DO if do else 0, 0)
