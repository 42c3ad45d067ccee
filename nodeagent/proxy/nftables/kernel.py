"""The table in the kernel: written by the nft command or by netlink, read by netlink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from apimachinery.kit import commands
from nodeagent.netlink import nf_tables
from nodeagent.netlink.links import AF_INET, AF_INET6
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink, Request

from . import names
from .render import Present, render_removal
from .table import containers

_TIMEOUT = 300.0  # seconds for one command: 40,000 rules on an emulated processor


def open_netlink() -> Netlink:
    return Netlink(NETLINK_NETFILTER)


class Kernel(Protocol):
    """The table of one address family."""

    async def apply(self, pieces: Iterable[str]) -> None:
        """Commit what `render` made, asked for once the command has been started.

        Raises CommandError; the table is then as it was before."""

    def transact(self, requests: Sequence[Request]) -> None:
        """Commit what `encode` made; waits for the kernel. Raises OSError; the table is then as it was before."""

    async def present(self) -> Present:
        """What the table holds; nothing where there is none. Raises OSError."""


class NftKernel:
    """family: 4 or 6. prefix: what enters another network namespace, when the table is not to be in this process's own.

    open: makes a socket of that namespace; may be called on another thread.
    """

    def __init__(self, family: int, *, prefix: Sequence[str] = (), open: Callable[[], Netlink] = open_netlink) -> None:
        self._family, self._prefix, self._open = family, tuple(prefix), open
        self._netlink: Netlink | None = None

    async def apply(self, pieces: Iterable[str]) -> None:
        encoded = (piece.encode() for piece in pieces)
        # Of "-" nft reads everything before it looks at the first line.
        await commands.run(*self._prefix, "nft", "-f", "/proc/self/fd/0", input=encoded, timeout=_TIMEOUT)

    def transact(self, requests: Sequence[Request]) -> None:
        netlink, self._netlink = self._netlink or self._open(), None
        try:
            netlink.transact(nf_tables.NFNL_SUBSYS_NFTABLES, requests)
        except OSError:
            netlink.close()  # more refusals may be on their way
            raise
        self._netlink = netlink

    async def present(self) -> Present:
        return await asyncio.to_thread(self._present)

    async def remove(self) -> bool:
        """Delete the table; whether there was one. Raises CommandError, OSError."""
        present = await self.present()
        if present.chains or present.sets:
            await self.apply([render_removal(self._family)])
            return True
        return False

    def _present(self) -> Present:
        family, table = AF_INET if self._family == 4 else AF_INET6, names.TABLE
        with self._open() as netlink:
            sets = nf_tables.sets(netlink, family, table)
            return Present(
                chains=dict.fromkeys(nf_tables.chains(netlink, family, table), 0)
                | nf_tables.count_rules(netlink, family, table),
                sets=sets,
                elements={
                    name: nf_tables.count_elements(netlink, family, table, name)
                    for name in containers(self._family)
                    if name in sets
                },
            )
