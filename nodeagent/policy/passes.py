"""One pass for all who wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Passes:
    """Runs `work`, never twice at the same time.

    A pass answers everybody who asked before it began: of thirty who ask during one, the first runs the next, and the
    others find it done.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], alone: asyncio.Lock) -> None:
        """alone: held during a pass; what must not see half of one takes it as well."""
        self._work, self._alone = work, alone
        self._begun, self._succeeded = 0, 0

    async def complete(self) -> None:
        """Return when a pass that began after this call has succeeded. Raises what `work` does, to who ran it: the next
        of those who wait tries itself."""
        before = self._begun
        async with self._alone:
            if self._succeeded > before:
                return
            self._begun += 1
            number = self._begun
            await self._work()
            self._succeeded = number
