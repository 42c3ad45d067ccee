"""Answers of other servers, read: compressed names (RFC 1035 section 4.1.4), records of every type. No I/O.

What comes from the network may be anybody's: everything is bounded, and pointers cannot loop.
"""

from __future__ import annotations

import struct

from nodeagent.dns.message import (
    AD,
    CNAME,
    DNAME,
    IN,
    MAX_LABEL,
    MAX_NAME,
    MX,
    NS,
    OPT,
    PTR,
    SOA,
    SRV,
    Answer,
    BadMessage,
    Name,
    Record,
    plain_name,
)

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")


def answers_question(data: bytes, id_: int, raw_question: bytes) -> bool:
    """Whether a message is an answer to that question (RFC 5452 section 9.1)."""
    if len(data) < 12 + len(raw_question) or struct.unpack_from("!H", data)[0] != id_ or not data[2] & 0x80:
        return False
    return data[12 : 12 + len(raw_question)].lower() == raw_question.lower()


def is_truncated(data: bytes) -> bool:
    return bool(data[2] & 0x02)


def rcode(data: bytes) -> int:
    return data[3] & 0x0F


def read_answer(data: bytes) -> Answer:
    """The records of an answer, those of EDNS0 left out. Raises BadMessage."""
    if len(data) < _HEADER.size:
        raise BadMessage("shorter than a header")
    _, flags, questions, *counts = _HEADER.unpack_from(data)
    offset, extended = _HEADER.size, 0
    for _ in range(questions):
        offset = read_name(data, offset)[1] + 4
    sections: list[list[Record]] = [[], [], []]
    for section, count in zip(sections, counts, strict=True):
        for _ in range(count):
            name, offset = read_name(data, offset)
            if offset + 10 > len(data):
                raise BadMessage("a record is cut off")
            rtype, cls, ttl, length = _RECORD.unpack_from(data, offset)
            start, offset = offset + 10, offset + 10 + length
            if offset > len(data):
                raise BadMessage("a record's data is cut off")
            if rtype == OPT:
                extended = ttl >> 24
            elif cls == IN:
                # A life with the highest bit set is none (RFC 2181 section 8).
                section.append(Record(name, rtype, ttl if ttl < 1 << 31 else 0, _read_data(data, rtype, start, offset)))
    records, authority, additional = (tuple(section) for section in sections)
    return Answer(
        (flags & 0xF) | extended << 4, records, authority, additional,
        authoritative=False, authenticated=bool(flags & AD),
    )  # fmt: skip


def _read_data(data: bytes, rtype: int, start: int, end: int) -> bytes | Name | tuple[int, int, int, Name]:
    """Data without pointers: those lead into a message that is not ours. Only the types of RFC 1035 may have them."""
    if rtype in (CNAME, NS, PTR, DNAME):
        return _name_within(data, start, end)[0]
    if rtype == SRV:
        if end - start < 7:
            raise BadMessage("an SRV record is cut off")
        priority, weight, port = struct.unpack_from("!HHH", data, start)
        return priority, weight, port, _name_within(data, start + 6, end)[0]
    if rtype == MX:
        return data[start : start + 2] + plain_name(_name_within(data, start + 2, end)[0])
    if rtype == SOA:
        first, offset = _name_within(data, start, end)
        second, offset = _name_within(data, offset, end)
        if offset + 20 != end:
            raise BadMessage("an SOA record of another length")
        return plain_name(first) + plain_name(second) + data[offset:end]
    return data[start:end]


def _name_within(data: bytes, start: int, end: int) -> tuple[Name, int]:
    name, offset = read_name(data, start)
    if offset > end:
        raise BadMessage("a name reaches beyond its record")
    return name, offset


def read_name(data: bytes, offset: int) -> tuple[Name, int]:
    """A name that may end in a pointer, and where it ends. Pointers must point backwards, so that none can loop."""
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
        if size > MAX_LABEL:
            raise BadMessage("an unknown kind of label")
        offset += 1
        if size == 0:
            return tuple(labels), end if end >= 0 else offset
        length += size + 1
        if length >= MAX_NAME or offset + size > len(data):
            raise BadMessage("a name is too long or cut off")
        labels.append(data[offset : offset + size].lower().decode("latin-1"))
        offset += size
