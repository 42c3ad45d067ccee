"""Without priority and fairness: two plain limits (--max-requests-inflight, --max-mutating-requests-inflight)."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.meta import status
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.authz.attributes import Attributes

_READING = frozenset({"get", "list", "watch", "head", "options"})
_NO_HEADERS: Mapping[str, str] = {}


class InFlight:
    """Counts requests; 0 means no limit. system:masters is not held to them."""

    def __init__(self, reading: int, mutating: int) -> None:
        self._limits = {True: reading, False: mutating}
        self._running = {True: 0, False: 0}

    async def take(self, asked: Attributes) -> Place:
        """A place. Raises ApiError 429 when all are taken."""
        reads = asked.verb in _READING
        limit = 0 if asked.verb == "watch" else self._limits[reads]  # what lasts is not counted
        if not limit:
            return Place({reads: 1}, reads)
        if self._running[reads] >= limit:
            if MASTERS not in asked.user.groups:
                raise status.Busy
            return Place({reads: 1}, reads)  # beside the others, whose places stay theirs
        self._running[reads] += 1
        return Place(self._running, reads)


class Place:
    """What a request holds while it runs."""

    headers = _NO_HEADERS

    def __init__(self, running: dict[bool, int], reads: bool) -> None:
        self._running, self._reads = running, reads

    def release(self) -> None:
        """The request is done."""
        self._running[self._reads] -= 1
