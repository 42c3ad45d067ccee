"""One linearizable read of etcd's revision for all who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable

from .interface import Revision


class RevisionProbe:
    """Calls share a read, never one that began before they asked: that could have missed a write that they know of."""

    def __init__(self, read: Callable[[], Awaitable[Revision]]) -> None:
        self._read = read
        self._next: asyncio.Future[Revision] | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __call__(self) -> Revision:
        """The revision at a moment between the call and its return. Raises what the read raises."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        waiting = self._next
        if self._reader is None:
            self._reader = asyncio.create_task(self._serve())
        return await asyncio.shield(waiting)

    async def _serve(self) -> None:
        try:
            while (waiting := self._next) is not None:
                self._next = None
                try:
                    waiting.set_result(await self._read())
                except Exception as error:
                    waiting.set_exception(error)
                    # Whoever still waits has it raised; nobody need be left.
                    waiting.exception()
                except asyncio.CancelledError:
                    waiting.cancel()
                    raise
        finally:
            self._reader = None
