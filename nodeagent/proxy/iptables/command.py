"""The iptables commands, of whichever back end (nf_tables or legacy) the machine has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apimachinery.kit import commands

from .saved import SavedTable, parse

_WAIT = "5"  # seconds to wait for the lock of iptables-legacy; nf_tables has none
_TIMEOUT = 120.0  # seconds for one command: 40,000 rules through nf_tables on an emulated processor


class Netfilter(Protocol):
    """The kernel's rules, in one address family."""

    async def save(self) -> dict[str, SavedTable]:
        """The tables filter and nat."""

    async def restore(self, text: str) -> None:
        """Apply what `ruleset.render` made. Raises CommandError; a table is then as it was before."""


class Iptables:
    """Netfilter by the iptables commands.

    family: 4 or 6. backend: "" for the machine's choice, or `nft`, `legacy`. prefix: what enters another network
    namespace, when the rules are not to be those of this process's own.
    """

    def __init__(self, family: int, *, backend: str = "", prefix: Sequence[str] = ()) -> None:
        name = "iptables" if family == 4 else "ip6tables"
        self._name = f"{name}-{backend}" if backend else name
        self._prefix = tuple(prefix)

    async def save(self) -> dict[str, SavedTable]:
        found: dict[str, SavedTable] = {}
        for table in ("filter", "nat"):
            found |= parse((await self._run(f"{self._name}-save", "-t", table)).text)
        return found

    async def restore(self, text: str) -> None:
        if text:
            arguments = ("-w", _WAIT, "--noflush", "--counters")
            await self._run(f"{self._name}-restore", *arguments, input=text.encode())

    async def is_nf_tables(self) -> bool:
        """Whether the back end is nf_tables, which tells of changes."""
        return "nf_tables" in (await self._run(self._name, "--version")).text

    async def _run(self, *argv: str, input: bytes | None = None) -> commands.Completed:
        return await commands.run(*self._prefix, *argv, input=input, timeout=_TIMEOUT)
