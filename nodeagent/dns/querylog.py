"""`log`: a line a question, in CoreDNS's format (https://coredns.io/plugins/log/). Pure but for the logger."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from nodeagent.dns.message import (
    AA,
    AD,
    AXFR,
    CD,
    IXFR,
    NOERROR,
    NXDOMAIN,
    QR,
    RA,
    RCODES,
    RD,
    SOA,
    TC,
    TYPES,
    Answer,
    Query,
    format_name,
)
from nodeagent.dns.settings import Log, covers

log = logging.getLogger("coredns")

_PLACE = re.compile(r"\{(>?\w+)\}")
_FLAGS = ((QR, "qr"), (AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (AD, "ad"), (CD, "cd"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """What happened. size: octets of the query; data: the answer; seconds: until it was sent."""

    query: Query
    size: int
    answer: Answer
    data: bytes
    seconds: float
    client: tuple[str, int]
    proto: str


def log_exchange(settings: Log, one: Exchange) -> None:
    """Log by the first rule that fits."""
    for rule in settings.rules:
        if covers(rule.zones, one.query.name):
            if rule.classes & {"all", _class(one.query, one.answer)}:
                log.info("%s", render(rule.format, one))
            return


def render(template: str, one: Exchange) -> str:
    """The template with its places filled; `-` for what is not known."""
    query = one.query
    host, port = one.client
    flags = int.from_bytes(one.data[2:4], "big")
    values = {
        "type": TYPES.get(query.type, f"TYPE{query.type}"),
        "name": format_name(query.name),
        "class": "IN",
        "proto": one.proto,
        "remote": f"[{host}]" if ":" in host else host,
        "port": str(port),
        "size": str(one.size),
        "duration": f"{one.seconds:.9f}s",
        "rcode": RCODES.get(one.answer.rcode, str(one.answer.rcode)),
        "rsize": str(len(one.data)),
        ">rflags": ",".join(word for bit, word in _FLAGS if flags & bit),
        ">bufsize": str(query.said_size or 512) if one.proto == "udp" else "65535",
        ">do": str(query.do).lower(),
        ">id": str(query.id),
        ">opcode": str(query.opcode),
    }
    # A name may hold any octet: nothing of it may begin a line of its own.
    return _PLACE.sub(lambda found: values.get(found[1], "-"), template).encode("unicode_escape").decode()


def _class(query: Query, answer: Answer) -> str:
    """As CoreDNS: what is denied is denied with an SOA; without one an empty answer is a success, NXDOMAIN an error."""
    if query.type in (AXFR, IXFR):
        return "error"
    denied = any(record.type == SOA for record in answer.authority)
    if denied and (answer.rcode == NXDOMAIN or (answer.rcode == NOERROR and not answer.records)):
        return "denial"
    return "success" if answer.rcode == NOERROR else "error"
