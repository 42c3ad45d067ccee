"""Leader election on a Lease (client-go tools/leaderelection): at most one leader at a time, by the monotonic clock.

A holder that could not renew for `renew` seconds stops leading before another may take over after the record's
leaseDurationSeconds. Both count the time since *they* saw the record change, so that neither wall clocks nor their
differences matter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from apimachinery.api.catalogue import LEASES
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Gauge
from apimachinery.kit.tasks import Fatal, cancel_and_wait
from apimachinery.meta import times
from apimachinery.meta.status import ApiError, is_not_found

from .rest import ApiUnreachable, Client, Object

log = logging.getLogger(__name__)

_MASTER = Gauge(
    "leader_election_master_status",
    "[ALPHA] Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. "
    "'name' is the string used to identify the lease. Please make sure to group by name.",
    ["name"],
)
_TOLERATED = 20.0  # seconds after its end during which an expired lease of ours is no sickness yet


Tell = Callable[[Object, str], None]
"""Told of a Lease, and what became of it."""


class LeadershipLost(Fatal):
    """The lease could not be renewed in time; whatever was led has been stopped."""


class LeaderElector:
    """Runs a function while, and only while, this identity holds the lease.

    lease, renew, retry: upstream's leaseDuration, renewDeadline and retryPeriod, in seconds; lease > renew > retry.
    tell: told the lease and what became of it, for an event.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        clock: Clock,
        *,
        lease: float = 15,
        renew: float = 10,
        retry: float = 2,
        tell: Tell | None = None,
    ) -> None:
        if not lease > renew > retry > 0:
            raise ValueError(f"leader election needs lease > renew > retry > 0, not {lease} {renew} {retry}")
        self._client, self._name, self._namespace, self.identity, self._clock = client, name, namespace, identity, clock
        self._lease, self._renew, self._retry, self._tell = lease, renew, retry, tell
        self._seen: Object | None = None
        self._seen_at = 0.0
        self._held_until = float("-inf")
        self._master = _MASTER.labels(name)
        self._master.set(0)

    def holds(self) -> bool:
        """Tell whether the lease is surely ours: renewed so lately that nobody may have taken it. For FencedClient."""
        return self._clock.monotonic() < self._held_until

    async def check(self) -> None:
        """Of /healthz (leaderElection): raises when we lead by a lease that ended long ago, and have not noticed. All
        is well with who does not lead."""
        overdue = self._lease + _TOLERATED
        if self._holder() == self.identity and self._clock.monotonic() - self._seen_at > overdue:
            raise RuntimeError(f"failed election to renew leadership on lease {self._name}")

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, run `lead`, renew meanwhile. Returns when `lead` returns.

        Raises LeadershipLost after `lead` has been cancelled and has ended. The lease is given back on the way out.
        """
        log.info("attempting to acquire leader lease %s/%s...", self._namespace, self._name)
        while not await self._try_acquire():
            await self._clock.sleep(self._retry)
        self._master.set(1)
        log.info("successfully acquired lease %s/%s", self._namespace, self._name)
        if self._tell is not None and self._seen is not None:
            self._tell(self._seen, f"{self.identity} became leader")
        leading = asyncio.ensure_future(lead())
        keeping = asyncio.ensure_future(self._keep())
        try:
            await asyncio.wait({leading, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                leading.result()
                return
            keeping.result()
        finally:
            self._master.set(0)
            await cancel_and_wait(leading, keeping)
            await self._release()

    async def _keep(self) -> None:
        """Renew for ever; raises LeadershipLost."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._retry)
            try:
                async with asyncio.timeout(self._renew):
                    held = await self._try_acquire()
            except TimeoutError:
                held = False
            if held:
                renewed = self._clock.monotonic()
                continue
            taken = self._holder() not in (self.identity, "")
            if taken or self._clock.monotonic() - renewed >= self._renew:
                why = f"lock is held by {self._holder()}" if taken else "context deadline exceeded"
                log.info("failed to renew lease %s/%s: %s", self._namespace, self._name, why)
                raise LeadershipLost("leaderelection lost")

    async def _try_acquire(self) -> bool:
        begun = self._clock.monotonic()
        if not await self._write_lease():
            return False
        # Whoever waits for the lease to expire counts from when the write was seen, which is later than this.
        self._held_until = begun + self._renew
        return True

    async def _write_lease(self) -> bool:
        try:
            current = await self._client.get(LEASES, self._name, self._namespace)
        except (ApiError, ApiUnreachable) as error:
            if is_not_found(error):
                return await self._written(
                    self._client.create(LEASES, self._record(None)), "error initially creating leader election record"
                )
            log.error("error retrieving resource lock %s/%s: %s", self._namespace, self._name, error)
            return False
        self._observe(current)
        if self._holder() not in (self.identity, "") and not self._expired():
            return False
        return await self._written(self._client.update(LEASES, self._record(current)), "Failed to update lock")

    async def _written(self, writing: Awaitable[Object], failed: str) -> bool:
        try:
            self._observe(await writing)
        except (ApiError, ApiUnreachable) as error:
            log.error("%s: %s", failed, error)
            return False
        return True

    def _expired(self) -> bool:
        """The time is over for which its holder said that the lease holds, counted from when we saw it renewed."""
        lasts: float = ((self._seen or {}).get("spec") or {}).get("leaseDurationSeconds") or 0
        return self._clock.monotonic() - self._seen_at >= lasts

    async def _release(self) -> None:
        self._held_until = float("-inf")
        if self._holder() != self.identity or self._seen is None:
            return
        spec = {**self._seen["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._client.update(LEASES, {**self._seen, "spec": spec})
        except (ApiError, ApiUnreachable) as error:
            log.error("Failed to release lock: %s", error)

    def _observe(self, lease: Object) -> None:
        if self._seen is None or self._seen.get("spec") != lease.get("spec"):
            self._seen_at = self._clock.monotonic()
        self._seen = lease

    def _holder(self) -> str:
        holder: str = ((self._seen or {}).get("spec") or {}).get("holderIdentity") or ""
        return holder

    def _record(self, current: Object | None) -> Object:
        now = times.rfc3339_micro(self._clock.now())
        old = (current or {}).get("spec") or {}
        mine = old.get("holderIdentity") == self.identity
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._lease),
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if mine or current is None else 1),
        }
        metadata = (current or {}).get("metadata") or {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
