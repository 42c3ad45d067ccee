"""The proxy's own servers: an address that is taken keeps nobody from their Services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from apimachinery.kit.clock import Clock

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


async def keep_open(
    name: str, serve: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event, clock: Clock
) -> None:
    """Serve until `stop` is set; as long as the address cannot be bound, try again, as upstream without
    bindAddressHardFail."""
    while True:
        try:
            await serve(stop)
        except OSError as error:
            log.error("%s server failed: %s; again in %g s", name, error, RETRY_SECONDS)
            await clock.sleep(RETRY_SECONDS)
        else:
            return
