"""One server block at work: its plugins in CoreDNS's order, rewrite → hosts → kubernetes → cache → loop → forward.

The cache stands behind what is known here anyway, so that a cluster's answer is never older than the informers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from nodeagent.dns import rewrite_rules
from nodeagent.dns.cache import AnswerCache, Hit
from nodeagent.dns.corefile import Block
from nodeagent.dns.errorlog import ErrorLog
from nodeagent.dns.forward import Forwarder, NoAnswer, Saturated, denies
from nodeagent.dns.hosts import HostsTable
from nodeagent.dns.loop import LoopDetector
from nodeagent.dns.message import (
    AAAA,
    CNAME,
    NOERROR,
    NXDOMAIN,
    RCODES,
    REFUSED,
    SERVFAIL,
    TXT,
    A,
    Answer,
    Name,
    Query,
    Record,
    format_name,
)
from nodeagent.dns.records import ClusterRecords
from nodeagent.dns.settings import covers

_log = logging.getLogger("plugin/errors")

MAX_ALIASES = 8  # CNAMEs of the cluster followed for one question, as CoreDNS
_HOSTS_FRESH = 1.0  # seconds; the file may change


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, and the plugin it is of. age: seconds to take off its records' lives. fresh_for: seconds for which the
    same question has the same answer. refresh: whether it is to be asked anew meanwhile."""

    answer: Answer
    plugin: str
    age: int = 0
    fresh_for: float = 0.0
    refresh: bool = False


Lookup = Callable[[Query, Sequence[Name]], Awaitable[Answer]]


class Chain:
    """The plugins of `block`. lookup: answers a question from the start, by whichever block (for aliases); it is told
    the names that led there."""

    def __init__(
        self,
        block: Block,
        *,
        clusters: Sequence[ClusterRecords] = (),
        synced: Callable[[], bool] = lambda: True,
        hosts: HostsTable | None = None,
        cache: AnswerCache | None = None,
        forwarders: Sequence[Forwarder] = (),
        loop: LoopDetector | None = None,
    ) -> None:
        self.block, self.cache, self.loop = block, cache, loop
        self._clusters, self._synced, self._hosts, self._forwards = clusters, synced, hosts, forwarders
        self._errors = ErrorLog(block.errors) if block.errors is not None else None
        self.lookup: Lookup | None = None

    def close(self) -> None:
        for forwarder in self._forwards:
            forwarder.close()
        if self._errors is not None:
            self._errors.close()

    def at_once(self, query: Query) -> Found | None:
        """The answer that needs nobody else; None when another server must be asked."""
        try:
            asked, back = rewrite_rules.apply(self.block.rewrites, query)
        except ValueError as error:
            self._complain(query, SERVFAIL, str(error))
            return Found(Answer(SERVFAIL, authoritative=False), "rewrite")
        found = self._local(asked)
        if found is not None:
            if _alias(asked, found.answer) is not None:
                return None
            return found if back is None else replace(found, answer=back(found.answer))
        if self.cache is None or not self.cache.covers(query.name):
            return None
        return _found(self.cache.get(query))

    async def later(self, query: Query, *, tcp: bool, followed: Sequence[Name] = ()) -> Found:
        """The answer when `at_once` had none, or is to be asked anew. followed: the aliases that led to this name."""
        try:
            asked, back = rewrite_rules.apply(self.block.rewrites, query)
            found = self._local(asked)
            if found is not None:
                found = replace(found, answer=await self._follow(asked, found.answer, followed), fresh_for=0.0)
                return found if back is None else replace(found, answer=back(found.answer))
            answer = await self._forward(asked, tcp=tcp)
        except (NoAnswer, ValueError) as error:
            self._complain(query, SERVFAIL, str(error))
            if self.cache is not None and (kept := self.cache.fallback(query)) is not None:
                return Found(kept.answer, "cache")
            answer, back = Answer(SERVFAIL, authoritative=False), None
        except Saturated as error:
            self._complain(query, REFUSED, str(error))
            return Found(Answer(REFUSED, authoritative=False), "forward")
        if back is not None:
            answer = back(answer)
        if self.cache is not None and self.cache.covers(query.name):
            answer = self.cache.put(query, answer)
        return Found(answer, "forward")

    async def refresh(self, query: Query) -> None:
        """Ask anew for what the cache gave; what fails leaves what there is."""
        try:
            await self.later(query, tcp=False)
        finally:
            if self.cache is not None:
                self.cache.refreshed(query)

    def _local(self, query: Query) -> Found | None:
        if self._hosts is not None and (answer := self._hosts.answer(query)) is not None:
            return Found(answer, "hosts", fresh_for=_HOSTS_FRESH)
        settings = self.block.kubernetes
        for cluster in self._clusters:
            if settings is None or not cluster.covers(query.name):
                continue
            answer = cluster.answer(query.name, query.type)
            if answer.rcode == NXDOMAIN:
                if covers(settings.through, query.name):
                    continue
                if not self._synced():
                    # Absence proves nothing yet.
                    return Found(Answer(SERVFAIL, authoritative=False), "kubernetes")
            return Found(answer, "kubernetes", fresh_for=math.inf if self._synced() else 0.0)
        return None

    async def _forward(self, query: Query, *, tcp: bool) -> Answer:
        if self.loop is not None:
            self.loop.see(query)
        # One whose plugins all pass a question on has nothing to say.
        answer = Answer(SERVFAIL, authoritative=False)
        wanted = [forwarder for forwarder in self._forwards if forwarder.covers(query)]
        for number, forwarder in enumerate(wanted, 1):
            answer = await forwarder.ask(query, tcp=tcp)
            if number == len(wanted) or not denies(answer, forwarder.settings):
                break
        return answer

    async def _follow(self, query: Query, answer: Answer, followed: Sequence[Name]) -> Answer:
        """A cluster's alias (an ExternalName Service) with the addresses at its end: a stub resolver takes an alias
        without addresses for no answer. One that leads nowhere within the zone, or back to itself, is no record."""
        target = _alias(query, answer)
        if target is None or self.lookup is None:
            return answer
        passed = (*followed, query.name)
        more: tuple[Record, ...] = ()
        if target not in passed and len(passed) <= MAX_ALIASES:
            more = (await self.lookup(replace(query, name=target, edns=True), passed)).records
        cluster = next((one for one in self._clusters if one.covers(query.name)), None)
        if cluster is not None and cluster.covers(target) and not more:
            return cluster.nothing(NOERROR)
        return replace(answer, records=(*answer.records, *more))

    def _complain(self, query: Query, rcode: int, reason: str) -> None:
        if self._errors is not None:
            self._errors.tell(rcode, query, reason)
        else:
            _log.debug("%s %s: %s", RCODES[rcode], format_name(query.name), reason)


def _found(hit: Hit | None) -> Found | None:
    return None if hit is None else Found(hit.answer, "cache", hit.age, hit.fresh_for, hit.refresh)


def _alias(query: Query, answer: Answer) -> Name | None:
    """The target that must be looked up too."""
    if query.type in (A, AAAA, TXT) and answer.records and answer.records[-1].type == CNAME:
        target = answer.records[-1].data
        assert isinstance(target, tuple)
        return target  # type: ignore[return-value]
    return None
