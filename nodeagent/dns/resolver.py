"""Which of the sources answers a query: the cluster's records, the cache, another server."""

from __future__ import annotations

import ipaddress
import logging
import random
from collections.abc import Sequence

from apimachinery.kit.metrics import Counter
from nodeagent.dns import message
from nodeagent.dns.cache import AnswerCache
from nodeagent.dns.forward import Forwarder, NoAnswer
from nodeagent.dns.message import AAAA, CNAME, IN, NOERROR, NOTIMP, PTR, REFUSED, SERVFAIL, A, Answer, Query, Record
from nodeagent.dns.records import ClusterRecords

log = logging.getLogger(__name__)

MAX_ALIASES = 8  # CNAMEs followed for one question

_ANSWERS = Counter("coredns_dns_responses_total", "Answers by response code", ["rcode"])
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


class Resolver:
    """forwards: the most exact zone first."""

    def __init__(
        self, clusters: Sequence[ClusterRecords], reverse: bool, cache: AnswerCache, forwards: Sequence[Forwarder]
    ) -> None:
        self._clusters, self._reverse, self._cache, self._forwards = clusters, reverse, cache, forwards

    def at_once(self, query: Query, limit: int) -> bytes | None:
        """The answer that needs nobody else, in at most `limit` octets; None when another server must be asked."""
        if query.opcode != 0:
            return self._write(query, Answer(NOTIMP, authoritative=False), limit)
        if query.cls != IN:
            return self._write(query, Answer(REFUSED, authoritative=False), limit)
        for cluster in self._clusters:
            if cluster.covers(query.name):
                answer = cluster.answer(query.name, query.type)
                if self._alias(query, answer) is not None:
                    return None
                return self._write(query, answer, limit)
        if query.type == PTR and self._reverse and (address := reversed_address(query.name)):
            for cluster in self._clusters:
                if (answer_ := cluster.reverse(address)) is not None:
                    return self._write(query, answer_, limit)
        kept = self._cache.get(query)
        return kept if kept is not None and len(kept) <= limit else None

    async def ask_others(self, query: Query, data: bytes, limit: int, *, tcp: bool) -> bytes:
        """The answer when `at_once` had none. data: the query as it came."""
        for cluster in self._clusters:
            if cluster.covers(query.name):
                return self._write(query, await self._follow(query, cluster), limit)
        forwarder = self._forwarder(query.name)
        if forwarder is None or forwarder.saturated:
            return self._write(query, Answer(REFUSED, authoritative=False), limit)
        try:
            answer = await forwarder.ask(data, query.raw_question, tcp=tcp)
        except NoAnswer as error:
            log.warning("%s: %s", message.format_name(query.name), error)
            return self._write(query, Answer(SERVFAIL, authoritative=False), limit)
        self._cache.put(query, answer)
        _ANSWERS.labels(_RCODES.get(message.rcode(answer), "OTHER")).inc()
        if len(answer) > limit:
            return _cut(query, limit)
        return answer

    def _alias(self, query: Query, answer: Answer) -> message.Name | None:
        """The target that must be looked up too: a stub resolver takes an alias without addresses for no answer."""
        if query.type in (A, AAAA) and answer.records and answer.records[-1].type == CNAME:
            target = answer.records[-1].data
            assert isinstance(target, tuple)
            return target  # type: ignore[return-value]
        return None

    async def _follow(self, query: Query, cluster: ClusterRecords) -> Answer:
        """A cluster's alias (an ExternalName Service) with the addresses at its end."""
        answer = cluster.answer(query.name, query.type)
        records = list(answer.records)
        for _ in range(MAX_ALIASES):
            target = self._alias(query, Answer(NOERROR, tuple(records)))
            if target is None:
                break
            inside = next((each for each in self._clusters if each.covers(target)), None)
            if inside is None:
                records += await self._addresses(target, query.type)
                break
            records += inside.answer(target, query.type).records
        return Answer(NOERROR, tuple(records))

    async def _addresses(self, name: message.Name, qtype: int) -> list[Record]:
        forwarder = self._forwarder(name)
        if forwarder is None or forwarder.saturated:
            return []
        asked = message.write_query(random.getrandbits(16), name, qtype)
        try:
            answer = await forwarder.ask(asked, message.parse_query(asked).raw_question, tcp=False)
            decoded = [message.decode(answer, raw) for raw in message.parse_records(answer)]
        except (NoAnswer, message.BadMessage) as error:
            log.info("%s: %s", message.format_name(name), error)
            return []
        return [record for record in decoded if record is not None and record.type in (qtype, CNAME)]

    def _forwarder(self, name: message.Name) -> Forwarder | None:
        return next((each for each in self._forwards if name[len(name) - len(each.zone) :] == each.zone), None)

    def _write(self, query: Query, answer: Answer, limit: int) -> bytes:
        _ANSWERS.labels(_RCODES[answer.rcode]).inc()
        return message.write_answer(query, answer, limit)


def _cut(query: Query, limit: int) -> bytes:
    """No records and TC: ask again over TCP."""
    cut = bytearray(message.write_answer(query, Answer(authoritative=False), limit))
    cut[2] |= 0x02
    return bytes(cut)


def reversed_address(name: message.Name) -> str | None:
    """`4.3.2.1.in-addr.arpa` → "1.2.3.4"; None for anything else."""
    if name[-2:] != ("in-addr", "arpa") or len(name) != 6:
        return None
    try:
        return str(ipaddress.IPv4Address(".".join(reversed(name[:4]))))
    except ValueError:
        return None
