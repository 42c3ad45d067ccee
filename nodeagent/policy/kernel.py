"""The nft command: our table into the kernel and back."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery.kit import commands

from .render import DELETE, TABLE

_TIMEOUT = 60.0  # seconds; thousands of elements on an emulated processor


class Nft:
    """prefix: what enters another network namespace, when the table is not to be in this process's own."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self._prefix = tuple(prefix)

    async def apply(self, text: str) -> None:
        """Raises CommandError; the table is then as it was before."""
        await commands.run(*self._prefix, "nft", "-f", "-", input=text.encode(), timeout=_TIMEOUT)

    async def listing(self) -> str:
        """The table without its counters, "" where there is none. Raises CommandNotFound, CommandTimeout."""
        done = await commands.run(
            *self._prefix, "nft", "-s", "list", "table", "inet", TABLE, timeout=_TIMEOUT, check=False
        )
        return done.text if done.code == 0 else ""

    async def remove(self) -> None:
        """May be repeated. Raises CommandError."""
        await self.apply(DELETE)
