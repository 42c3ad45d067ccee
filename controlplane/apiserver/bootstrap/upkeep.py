"""What the server writes at its start and looks after once a minute from then on, because people delete and edit it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from apimachinery.kit.clock import Clock
from apimachinery.meta.status import ApiError
from controlplane.apiserver.storage.interface import StorageError

log = logging.getLogger(__name__)

Duty = Callable[[], Awaitable[None]]
PERIOD = 60.0


async def keep(duties: Mapping[str, Duty], clock: Clock) -> None:
    """Do each once a minute, until cancelled. One that fails is told, by its name, and tried again with the others."""
    while True:
        await clock.sleep(PERIOD)
        for what, duty in duties.items():
            try:
                await duty()
            except (StorageError, ApiError, OSError) as error:
                log.warning("%s: %s", what, error)
