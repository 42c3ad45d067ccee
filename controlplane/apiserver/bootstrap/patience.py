"""Starting while the store does not answer yet: ask again until a deadline, then end with a sentence that says so.

Upstream waits for etcd for 20 s (its client's dial timeout) and leaves the rest to the kubelet, which starts it anew.
Here it is a minute: on an emulated machine etcd takes half of that, and a container's restart costs more than waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import Fatal
from apimachinery.meta.status import ApiError
from controlplane.apiserver.storage.interface import OutcomeUnknown, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

DEADLINE = 60.0
_PERIOD = 1.0
# 500 is what cannot be read: the KMS plug-in that it is encrypted with may come later than this server.
_PASSING = (500, 503, 504)


async def until_answered(
    what: str, attempt: Callable[[], Awaitable[T]], clock: Clock, *, deadline: float = DEADLINE
) -> T:
    """What `attempt`, which may be repeated, returns once the store answers. what: for the log.

    Raises Fatal when it has not within `deadline` seconds; everything but a silent store at once.
    """
    began, told = clock.monotonic(), False
    while True:
        try:
            return await attempt()
        except (Unavailable, OutcomeUnknown, ApiError) as error:
            if isinstance(error, ApiError) and error.code not in _PASSING:
                raise
            if clock.monotonic() - began >= deadline:
                raise Fatal(f"{what}: the store has not answered within {deadline:g} s: {error}") from error
            if not told:
                log.warning("%s: the store does not answer yet: %s; asking for %g s", what, error, deadline)
                told = True
        await clock.sleep(_PERIOD)
