"""`hosts`: addresses by name, names by address, from a file in the form of hosts(5) and lines of the Corefile."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from apimachinery.kit.clock import Clock
from nodeagent.dns.message import AAAA, ANY, NOERROR, PTR, SERVFAIL, A, Answer, Name, Query, Record, parse_name
from nodeagent.dns.reverse import reversed_address
from nodeagent.dns.settings import Hosts, covers

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Table:
    """by_name: packed addresses in the order of the lines. by_address: names."""

    by_name: dict[Name, list[bytes]] = field(default_factory=dict)
    by_address: dict[bytes, list[Name]] = field(default_factory=dict)

    def add(self, lines: Iterable[Sequence[str]]) -> None:
        """Lines that begin with no address are passed over, as resolvers do."""
        for words in lines:
            try:
                packed = ipaddress.ip_address(words[0].partition("%")[0]).packed
            except (ValueError, IndexError):
                continue
            for word in words[1:]:
                name = parse_name(word)
                if packed not in self.by_name.setdefault(name, []):
                    self.by_name[name].append(packed)
                    if name[:1] != ("*",):
                        self.by_address.setdefault(packed, []).append(name)

    def addresses(self, name: Name) -> list[bytes]:
        """Those of a name, or of the `*` that stands for its first label."""
        return self.by_name.get(name) or (self.by_name.get(("*", *name[1:]), []) if len(name) > 1 else [])


class HostsTable:
    """Answers by the file as it was at most `reload` seconds ago; a file that is gone leaves the lines."""

    def __init__(self, settings: Hosts, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._seen: tuple[float, int] | None = None
        self._next = 0.0
        self._table = Table()
        self._table.add(settings.inline)

    def answer(self, query: Query) -> Answer | None:
        """None where the next plugin is to be asked."""
        settings = self._settings
        if not covers(settings.zones, query.name):
            return None
        self._refresh()
        records: tuple[Record, ...] = ()
        exists = False
        if query.type == PTR:
            address = reversed_address(query.name) if settings.reverse else None
            names = self._table.by_address.get(ipaddress.ip_address(address).packed, []) if address else []
            exists = bool(names)
            records = tuple(Record(query.name, PTR, settings.ttl, name) for name in names)
        elif query.type in (A, AAAA, ANY):
            for packed in self._table.addresses(query.name):
                exists = True
                kind = A if len(packed) == 4 else AAAA
                if query.type in (kind, ANY):
                    records += (Record(query.name, kind, settings.ttl, packed),)
        else:
            return None
        if exists:
            return Answer(NOERROR, records)
        # CoreDNS: a file of hosts has no SOA to deny a name with.
        if covers(settings.through, query.name) or query.type == PTR:
            return None
        return Answer(SERVFAIL, authoritative=False)

    def _refresh(self) -> None:
        now = self._clock.monotonic()
        if self._settings.file is None or now < self._next:
            return
        self._next = now + self._settings.reload if self._settings.reload else float("inf")
        try:
            found = self._settings.file.stat()
            if self._seen == (found.st_mtime, found.st_size):
                return
            text = self._settings.file.read_text(errors="replace")
            seen = (found.st_mtime, found.st_size)
        except OSError:
            text, seen = "", None
        table = Table()
        table.add(self._settings.inline)
        table.add(line.partition("#")[0].split() for line in text.splitlines())
        self._table, self._seen = table, seen
