"""The DNS wire format: RFC 1035 section 4, with EDNS0 (RFC 6891) and SRV (RFC 2782). No I/O.

Names are tuples of lower-case labels, without the root: ("web", "default", "svc", "cluster", "local").
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5

QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080

MAX_NAME = 255  # octets, RFC 1035 section 2.3.4
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
    UDP, in octets. edns: whether it spoke EDNS0.
    """

    id: int
    flags: int
    name: Name
    type: int
    cls: int
    raw_question: bytes
    edns: bool = False
    udp_size: int = PLAIN_UDP

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
    """What is answered. `authoritative`: we are the zone's server."""

    rcode: int = NOERROR
    records: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True


def parse_name(text: str) -> Name:
    """`Web.default.svc.` → its labels."""
    return tuple(label.lower() for label in text.rstrip(".").split(".") if label)


def format_name(name: Name) -> str:
    return ".".join(name) + "."


def a(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


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
    edns, size = _read_edns(data, offset + 4, additionals)
    return Query(id_, flags, name, qtype, qclass, raw, edns, size)


def _read_edns(data: bytes, offset: int, additionals: int) -> tuple[bool, int]:
    for _ in range(min(additionals, 4)):  # a query carries OPT and perhaps TSIG; more is nobody's business here
        _, offset = _read_name(data, offset)
        if offset + 10 > len(data):
            raise BadMessage("a record is cut off")
        rtype, size, _, length = _RECORD.unpack_from(data, offset)
        offset += 10 + length
        if rtype == OPT:
            return True, max(PLAIN_UDP, min(size, MAX_UDP))
    return False, PLAIN_UDP


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
        if size > 63:
            raise BadMessage("a compressed name in a query")
        length += size + 1
        if length >= MAX_NAME or offset + size > len(data):
            raise BadMessage("a name is too long or cut off")
        labels.append(data[offset : offset + size].decode("latin-1").lower())
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

    def record(self, record: Record) -> None:
        self.name(record.name)
        start = len(self.out)
        self.out += _RECORD.pack(record.type, IN, record.ttl, 0)
        data = record.data
        if isinstance(data, bytes):
            self.out += data
        elif record.type == SRV:
            priority, weight, port, target = data
            self.out += struct.pack("!HHH", priority, weight, port)
            self.out += _plain_name(target)  # type: ignore[arg-type]  # RFC 2782: not compressed
        else:
            self.name(data)  # type: ignore[arg-type]
        struct.pack_into("!H", self.out, start + 8, len(self.out) - start - 10)


def soa(name: Name, ttl: int, serial: int) -> Record:
    """The zone's SOA with CoreDNS's numbers; its last one is for how long a refusal may be kept."""
    data = _plain_name(("ns", "dns", *name)) + _plain_name(("hostmaster", *name))
    return Record(name, SOA, ttl, data + struct.pack("!5I", serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl))


def _plain_name(name: Name) -> bytes:
    parts = b"".join(bytes([len(label)]) + label.encode("latin-1") for label in name)
    return parts + b"\0"


def write_answer(query: Query, answer: Answer, limit: int = 65535) -> bytes:
    """The message. What does not fit into `limit` octets is left out and TC set, so that the client asks over TCP."""
    for records, authority, additional, truncated in (
        (answer.records, answer.authority, answer.additional, False),
        (answer.records, answer.authority, (), False),
        ((), (), (), True),
    ):
        message = _write(query, answer, records, authority, additional, truncated)
        if len(message) <= limit:
            return message
    raise AssertionError("a question alone is longer than the limit")


def _write(
    query: Query,
    answer: Answer,
    records: Sequence[Record],
    authority: Sequence[Record],
    additional: Sequence[Record],
    truncated: bool,
) -> bytes:
    flags = QR | (query.flags & (0x7800 | RD)) | RA | answer.rcode
    flags |= AA if answer.authoritative else 0
    flags |= TC if truncated else 0
    out = bytearray(
        _HEADER.pack(query.id, flags, 1, len(records), len(authority), len(additional) + (1 if query.edns else 0))
    )
    out += query.raw_question
    writer = _Writer(out)
    for index in range(len(query.name)):
        offset = 12 + sum(len(label) + 1 for label in query.name[:index])
        writer.seen[query.name[index:]] = offset
    for record in (*records, *authority, *additional):
        writer.record(record)
    if query.edns:
        out += b"\0" + _RECORD.pack(OPT, MAX_UDP, 0, 0)
    return bytes(out)


def write_error(data: bytes, rcode: int) -> bytes | None:
    """An answer to a message that could not be parsed; None when it has not even an id, or is an answer itself."""
    if len(data) < 12:
        return None
    id_, flags = struct.unpack_from("!HH", data)
    if flags & QR:
        return None
    return _HEADER.pack(id_, QR | (flags & (0x7800 | RD)) | rcode, 0, 0, 0, 0)


def write_query(id_: int, name: Name, qtype: int) -> bytes:
    """A recursive query with EDNS0, for another server."""
    question = _plain_name(name) + struct.pack("!HH", qtype, IN)
    return _HEADER.pack(id_, RD, 1, 0, 0, 1) + question + b"\0" + _RECORD.pack(OPT, MAX_UDP, 0, 0)


def answers_question(data: bytes, id_: int, raw_question: bytes) -> bool:
    """Whether a message is an answer to that question: what comes from the network may be anybody's."""
    if len(data) < 12 + len(raw_question) or struct.unpack_from("!H", data)[0] != id_ or not data[2] & 0x80:
        return False
    return data[12 : 12 + len(raw_question)].lower() == raw_question.lower()


def is_truncated(data: bytes) -> bool:
    return bool(data[2] & 0x02)


def rcode(data: bytes) -> int:
    return data[3] & 0x0F


@dataclass(frozen=True, slots=True)
class Raw:
    """A record of another server's answer, not decoded. `ttl_at`, `data_at`: offsets into the message."""

    name: Name
    type: int
    ttl: int
    ttl_at: int
    data_at: int
    length: int


def parse_records(data: bytes) -> list[Raw]:
    """The records of an answer, of all three sections, OPT left out. Raises BadMessage."""
    _, _, questions, *counts = _HEADER.unpack_from(data)
    offset = 12
    for _ in range(questions):
        _, offset = _read_any_name(data, offset)
        offset += 4
    found = []
    for _ in range(sum(counts)):
        name, offset = _read_any_name(data, offset)
        if offset + 10 > len(data):
            raise BadMessage("a record is cut off")
        rtype, _, ttl, length = _RECORD.unpack_from(data, offset)
        if offset + 10 + length > len(data):
            raise BadMessage("a record's data is cut off")
        if rtype != OPT:
            found.append(Raw(name, rtype, ttl, offset + 4, offset + 10, length))
        offset += 10 + length
    return found


def decode(data: bytes, raw: Raw) -> Record | None:
    """An address or alias of another server's answer as a record of ours; None for other types."""
    if raw.type in (A, AAAA):
        return Record(raw.name, raw.type, raw.ttl, data[raw.data_at : raw.data_at + raw.length])
    if raw.type == CNAME:
        return Record(raw.name, CNAME, raw.ttl, _read_any_name(data, raw.data_at)[0])
    return None


def replay(data: bytes, query: Query, records: Sequence[Raw], age: int) -> bytes:
    """A kept answer for another asker: its id, its spelling of the question, and lives that are `age` seconds older."""
    out = bytearray(data)
    struct.pack_into("!H", out, 0, query.id)
    out[12 : 12 + len(query.raw_question)] = query.raw_question
    for raw in records:
        struct.pack_into("!I", out, raw.ttl_at, max(0, raw.ttl - age))
    return bytes(out)


def _read_any_name(data: bytes, offset: int) -> tuple[Name, int]:
    """A name that may end in a pointer. Pointers must point backwards, so that no chain of them can loop."""
    labels: list[str] = []
    end = -1
    length, lowest = 0, offset
    while True:
        if offset >= len(data):
            raise BadMessage("a name is cut off")
        size = data[offset]
        if size & 0xC0 == 0xC0:
            if offset + 1 >= len(data):
                raise BadMessage("a pointer is cut off")
            target = (size & 0x3F) << 8 | data[offset + 1]
            if target >= lowest:
                raise BadMessage("a pointer does not point backwards")
            if end < 0:
                end = offset + 2
            offset = lowest = target
            continue
        if size > 63:
            raise BadMessage("an unknown kind of label")
        offset += 1
        if size == 0:
            return tuple(labels), end if end >= 0 else offset
        length += size + 1
        if length >= MAX_NAME:
            raise BadMessage("a name is too long")
        labels.append(data[offset : offset + size].decode("latin-1").lower())
        offset += size
