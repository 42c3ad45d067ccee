"""Renewing a certificate when 70 to 90 % of its life are over (client-go util/certificate, certificate_manager.go)."""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
from collections.abc import Awaitable, Callable

from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.backoff import Backoff
from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.status import ApiError

from .request import Request, new_key
from .signing import NotSigned, sign
from .store import CertificateStore, Pair
from .validity import validity

log = logging.getLogger(__name__)

# A certificate ends by the wall clock, which may be set: it is looked at this often at least.
_LOOK = 60.0
_PAUSE = 1.0


class CertificateManager:
    """Keeps one certificate of the node fresh.

    wanted: what to ask for, or None while it is not known (the serving certificate needs the node's addresses).
    use: told of every new pair. first: what to begin with; what the store has, when None.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        store: CertificateStore,
        wanted: Callable[[], Request | None],
        use: Callable[[Pair], Awaitable[None]],
        first: Pair | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client, self._clock, self._store = client, clock, store
        self._wanted, self._use, self._jitter = wanted, use, jitter
        self.current = first or store.current()
        self._share = 0.0
        self._asked: Request | None = None
        self._backoff = Backoff(2.0, 128.0, clock)
        self._draw()

    def _draw(self) -> None:
        self._share = 0.7 + 0.2 * self._jitter()

    def deadline(self) -> datetime.datetime | None:
        """When the certificate is to be renewed; None when there is none."""
        if self.current is None:
            return None
        try:
            return validity(self.current.cert).deadline(self._share)
        except ValueError as error:
            log.error("Current certificate cannot be read: %s", error)
            return None

    async def run(self, stop: asyncio.Event) -> None:
        """Renew until `stop` is set or the task is cancelled."""
        self._tell()
        while not stop.is_set():
            await self._clock.sleep(max(_PAUSE, self._wait()))
            if self._wait() > 0:
                continue
            request = self._wanted()
            if request is None or await self._renew(request):
                continue
            await self._clock.sleep(self._backoff.next(""))

    def _wait(self) -> float:
        """Seconds until something is to be done, at most until the next look at the clock."""
        deadline, wanted = self.deadline(), self._wanted()
        if wanted is None:
            return _LOOK if self.current is not None else _PAUSE
        # A node that got another address is certified anew.
        if deadline is None or (self._asked is not None and wanted != self._asked):
            return 0.0
        return min(_LOOK, (deadline - self._clock.now()).total_seconds())

    async def _renew(self, request: Request) -> bool:
        log.info("Rotating certificates")
        key = new_key()
        try:
            cert = await sign(self._client, self._clock, request, key)
            pair = Pair(cert, key)
            self._store.update(pair, self._clock.now())
        except (NotSigned, ApiError, ApiUnreachable, OSError) as error:
            log.error("Rotating certificates failed: %s", error)
            return False
        self.current, self._asked = pair, request
        self._draw()
        self._backoff.reset("")
        await self._use(pair)
        self._tell()
        return True

    def _tell(self) -> None:
        deadline = self.deadline()
        if deadline is not None and self.current is not None:
            ends = times.rfc3339(validity(self.current.cert).ends)
            log.info("Certificate expiration is %s, rotation deadline is %s", ends, times.rfc3339(deadline))
