"""From a question to the octets of its answer: which server block answers, how it is written, counted and logged."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from apimachinery.kit.clock import Clock
from nodeagent.dns import message
from nodeagent.dns.block import Chain, Found
from nodeagent.dns.message import (
    AAAA,
    BADVERS,
    FORMERR,
    IN,
    MX,
    NOTIMP,
    RCODES,
    REFUSED,
    SERVFAIL,
    TYPES,
    A,
    Answer,
    BadMessage,
    Name,
    Query,
    Record,
)
from nodeagent.dns.metrics import TALLIES, Tally
from nodeagent.dns.querylog import Exchange, log_exchange

log = logging.getLogger(__name__)

_SHUFFLED = frozenset((A, AAAA, MX))


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it came. proto: udp or tcp. family: "1" for IPv4, "2" for IPv6. began: the clock's seconds."""

    query: Query
    size: int
    client: tuple[str, int]
    proto: str
    family: str
    began: float

    @property
    def limit(self) -> int:
        """Octets of an answer at most."""
        return self.query.udp_size if self.proto == "udp" else 65535


@dataclass(frozen=True, slots=True)
class Reply:
    """fresh_for: seconds for which the same question has the same octets after the id, or shuffled ones."""

    data: bytes
    tally: Tally
    fresh_for: float = 0.0
    shuffled: bool = False
    chain: Chain | None = None
    found: Found | None = None


class Resolver:
    """The server blocks of one port."""

    def __init__(self, chains: Sequence[Chain], port: int, clock: Clock) -> None:
        self.clock = clock
        self._chains = tuple(chains)
        self._by_zone: dict[Name, Chain] = {zone: chain for chain in chains for zone in chain.block.zones}
        self._server = f"dns://:{port}"
        for chain in chains:
            chain.lookup = self._lookup

    @property
    def chains(self) -> Sequence[Chain]:
        return self._chains

    def close(self) -> None:
        for chain in self._chains:
            chain.close()

    def chain(self, name: Name) -> Chain | None:
        """That of the longest zone which covers the name."""
        for index in range(len(name) + 1):
            if chain := self._by_zone.get(name[index:]):
                return chain
        return None

    def at_once(self, asked: Asked) -> Reply | None:
        """The answer that needs nobody else; None when another server must be asked."""
        query = asked.query
        if refused := _refused(query):
            return self._write(asked, None, Found(refused, ""))
        chain = self.chain(query.name)
        if chain is None:
            return self._write(asked, None, Found(Answer(REFUSED, authoritative=False), ""))
        found = chain.at_once(query)
        return None if found is None else self._write(asked, chain, found)

    async def later(self, asked: Asked) -> Reply:
        """The answer when `at_once` had none. A defect is answered too, with SERVFAIL."""
        chain = self.chain(asked.query.name)
        assert chain is not None
        try:
            found = await chain.later(asked.query, tcp=asked.proto == "tcp")
        except Exception:
            log.exception("%s", message.format_name(asked.query.name))
            found = Found(Answer(SERVFAIL, authoritative=False), "")
        return self._write(asked, chain, found)

    async def _lookup(self, query: Query, followed: Sequence[Name]) -> Answer:
        chain = self.chain(query.name)
        if chain is None:
            return Answer(REFUSED)
        found = chain.at_once(query) or await chain.later(query, tcp=False, followed=followed)
        return replace(found.answer, records=tuple(_older(found.answer.records, found.age)))

    def _write(self, asked: Asked, chain: Chain | None, found: Found) -> Reply:
        query, answer = asked.query, found.answer
        shuffled = chain is not None and chain.block.loadbalance and _many(answer.records)
        if shuffled:
            answer = replace(answer, records=shuffle(answer.records))
        data = message.write_answer(query, answer, asked.limit, found.age)
        zone = message.format_name(_zone(chain, query.name)) if chain is not None else "dropped"
        tally = TALLIES.of(
            self._server, zone, asked.proto, asked.family, TYPES.get(query.type, "other"),
            RCODES.get(answer.rcode, "other"), found.plugin, query.do,
        )  # fmt: skip
        seconds = self.clock.monotonic() - asked.began
        tally.add(seconds, asked.size, len(data))
        logged = chain is not None and chain.block.log is not None
        if logged:
            assert chain is not None and chain.block.log is not None
            client = asked.client[0].removeprefix("::ffff:"), asked.client[1]
            log_exchange(chain.block.log, Exchange(query, asked.size, answer, data, seconds, client, asked.proto))
        return Reply(data, tally, 0.0 if logged else found.fresh_for, shuffled, chain, found)


def parse(data: bytes) -> Query | bytes | None:
    """The query; or what to answer instead; or None for silence."""
    try:
        return message.parse_query(data)
    except BadMessage as error:
        log.debug("not a query: %s", error)
        if len(data) >= 12 and (data[2] >> 3) & 0xF not in (0, 4):
            return message.write_error(data, NOTIMP)
        return message.write_error(data, FORMERR)


def _refused(query: Query) -> Answer | None:
    if query.opcode != 0:
        return Answer(NOTIMP, authoritative=False)
    if query.cls != IN:
        return Answer(REFUSED, authoritative=False)
    if query.version != 0:
        return Answer(BADVERS, authoritative=False)
    return None


def shuffle(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """Addresses in another order, aliases before them (CoreDNS's `loadbalance`)."""
    moved = [record for record in records if record.type in _SHUFFLED]
    random.shuffle(moved)
    return (*(record for record in records if record.type not in _SHUFFLED), *moved)


def _many(records: tuple[Record, ...]) -> bool:
    return sum(record.type in _SHUFFLED for record in records) > 1


def _older(records: tuple[Record, ...], age: int) -> Sequence[Record]:
    return [replace(record, ttl=max(0, record.ttl - age)) for record in records] if age else records


def _zone(chain: Chain, name: Name) -> Name:
    fitting = [zone for zone in chain.block.zones if name[len(name) - len(zone) :] == zone]
    return max(fitting, key=len, default=())
