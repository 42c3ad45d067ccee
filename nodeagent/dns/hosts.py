"""`hosts`: addresses by name, names by address, from a file in the form of hosts(5) and lines of the Corefile."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from apimachinery.kit.clock import Clock
from nodeagent.dns.message import AAAA, NOERROR, PTR, SERVFAIL, A, Answer, Name, Query, Record, parse_name
from nodeagent.dns.reverse import reversed_address
from nodeagent.dns.settings import Hosts, Zones, covers

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Table:
    """by_name: packed addresses in the order of the lines. by_address: names."""

    by_name: dict[Name, list[bytes]] = field(default_factory=dict)
    by_address: dict[bytes, list[Name]] = field(default_factory=dict)

    def add(self, lines: Iterable[Sequence[str]], zones: Zones) -> None:
        """Names of `zones`. Lines that begin with no address are passed over, as resolvers do."""
        for words in lines:
            try:
                address = ipaddress.ip_address(words[0].partition("%")[0])
            except (ValueError, IndexError):
                continue
            packed = (getattr(address, "ipv4_mapped", None) or address).packed
            for name in map(parse_name, words[1:]):
                if covers(zones, name) and packed not in self.by_name.setdefault(name, []):
                    self.by_name[name].append(packed)
                    self.by_address.setdefault(packed, []).append(name)


class HostsTable:
    """Answers by the file as it was at most `reload` seconds ago, then by the lines of the Corefile.

    What was read of a file stays when the file is gone, as with CoreDNS.
    """

    def __init__(self, settings: Hosts, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._seen: tuple[float, int] | None = None
        self._next = 0.0
        self._table = Table()
        self._table.add(settings.inline, settings.zones)

    def answer(self, query: Query) -> Answer | None:
        """None where the next plugin is to be asked. A name with an address has no records of other types than these,
        whatever other servers would say of it."""
        settings = self._settings
        if query.type == PTR:
            self._refresh()
            return self._pointers(query.name)
        if not covers(settings.zones, query.name):
            return None
        self._refresh()
        if found := self._table.by_name.get(query.name):
            wanted = {A: 4, AAAA: 16}.get(query.type)
            of_type = (packed for packed in found if len(packed) == wanted)
            return Answer(NOERROR, tuple(Record(query.name, query.type, settings.ttl, packed) for packed in of_type))
        if covers(settings.through, query.name):
            return None
        # CoreDNS: a file of hosts has no SOA to deny a name with.
        return Answer(SERVFAIL, authoritative=False)

    def _pointers(self, name: Name) -> Answer | None:
        """Of any address, in the zones of the directive or not: those are the zones of the names."""
        address = reversed_address(name) if self._settings.reverse else None
        names = self._table.by_address.get(ipaddress.ip_address(address).packed) if address else None
        if not names:
            return None
        return Answer(NOERROR, tuple(Record(name, PTR, self._settings.ttl, one) for one in names))

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
            return
        table = Table()
        table.add((line.partition("#")[0].split() for line in text.splitlines()), self._settings.zones)
        table.add(self._settings.inline, self._settings.zones)
        self._table, self._seen = table, seen
