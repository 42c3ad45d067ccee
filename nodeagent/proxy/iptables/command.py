"""The iptables commands, of whichever back end (nf_tables or legacy) the machine has chosen."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from apimachinery.kit import commands
from nodeagent.netlink import namespaces, nf_tables
from nodeagent.netlink.links import AF_INET, AF_INET6
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink

from .ruleset import TABLES
from .saved import SOURCES, SavedTable, parse

_WAIT = "5"  # seconds to wait for the lock of iptables-legacy; nf_tables has none
_TIMEOUT = 120.0  # seconds for one command: 40,000 rules through nf_tables on an emulated processor
_NF_TABLES_PROGRAM = "xtables-nft-multi"  # what all commands of that back end are links to
_NAMES = {4: Path("/proc/thread-self/net/ip_tables_names"), 6: Path("/proc/thread-self/net/ip6_tables_names")}


class Netfilter(Protocol):
    """The kernel's rules, in one address family."""

    async def save(self) -> dict[str, SavedTable]:
        """The tables filter and nat."""

    async def restore(self, pieces: Iterable[str]) -> None:
        """Apply what `ruleset` rendered, whose pieces are asked for while the command works on those before.

        Raises CommandError; a table is then as it was before."""


class Iptables:
    """Netfilter by the iptables commands.

    family: 4 or 6. backend: "" for the machine's choice, or `nft`, `legacy`. namespace: the path of another network
    namespace, when the rules are not to be those of this process's own.
    """

    def __init__(self, family: int, *, backend: str = "", namespace: str = "") -> None:
        name = "iptables" if family == 4 else "ip6tables"
        self._family, self._namespace = family, namespace
        self._name = f"{name}-{backend}" if backend else name
        self._prefix = ("nsenter", f"--net={namespace}") if namespace else ()

    async def save(self) -> dict[str, SavedTable]:
        found = self._untouched()
        if found is not None:
            return found
        for_all = (await self._run(f"{self._name}-save")).text
        return {name: table for name, table in parse(for_all).items() if name in TABLES}

    async def restore(self, pieces: Iterable[str]) -> None:
        arguments = ("-w", _WAIT, "--noflush", "--counters")
        await self._run(f"{self._name}-restore", *arguments, input=(piece.encode() for piece in pieces))

    @functools.cached_property
    def is_nf_tables(self) -> bool:
        """Whether the back end is nf_tables, which tells of changes."""
        return os.path.realpath(shutil.which(self._name) or "").endswith(_NF_TABLES_PROGRAM)

    def _untouched(self) -> dict[str, SavedTable] | None:
        """The tables, when no command is needed to read them, which costs as much as writing a hundred services:
        nobody has put a rule into a chain that could lead to ours. None when somebody has, or nobody knows."""
        try:
            return self._inside(self._counted if self.is_nf_tables else self._unused)
        except OSError:
            return None

    def _counted(self) -> dict[str, SavedTable] | None:
        found = {}
        family = AF_INET if self._family == 4 else AF_INET6
        with Netlink(NETLINK_NETFILTER) as netlink:
            for name in TABLES:
                rules = dict.fromkeys(nf_tables.chains(netlink, family, name), 0)
                rules |= nf_tables.count_rules(netlink, family, name)
                if any(rules.get(source) for source in SOURCES):
                    return None
                found[name] = SavedTable(rules)
        return found

    def _unused(self) -> dict[str, SavedTable] | None:
        """iptables-legacy makes a table when it is first looked into."""
        return None if set(_NAMES[self._family].read_text().split()) & set(TABLES) else {}

    def _inside(self, read: Callable[[], dict[str, SavedTable] | None]) -> dict[str, SavedTable] | None:
        if not self._namespace:
            return read()
        descriptor = namespaces.open_namespace(self._namespace)
        try:
            return namespaces.inside(descriptor, read)
        finally:
            os.close(descriptor)

    async def _run(self, *argv: str, input: Iterable[bytes] | None = None) -> commands.Completed:
        return await commands.run(*self._prefix, *argv, input=input, timeout=_TIMEOUT)
