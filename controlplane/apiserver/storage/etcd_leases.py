"""Leases for objects with a time to live, shared by objects written close together.

A lease each would make Events, the only large user, cost two calls. So a lease lives a little longer than asked, and
serves every write with that time to live until the surplus is used up or enough objects hang on it. Source: upstream's
`storage/etcd3/lease_manager.go` (60 s or 5 % of the time to live, at most 1,000 objects).
"""

from collections.abc import Awaitable, Callable

from apimachinery.kit.clock import Clock

_REUSE_SECONDS = 60
_REUSE_SHARE = 0.05
_MAX_OBJECTS = 1000


class _Lease:
    __slots__ = ("lease_id", "objects", "until")

    def __init__(self, lease_id: int, until: float) -> None:
        self.lease_id = lease_id
        self.until = until
        self.objects = 0


class Leases:
    """Hands out lease ids; `grant` makes a lease of so many seconds and returns its id."""

    def __init__(self, grant: Callable[[int], Awaitable[int]], clock: Clock) -> None:
        self._grant = grant
        self._clock = clock
        self._by_ttl: dict[int, _Lease] = {}

    async def lease_for(self, ttl: int) -> int:
        """A lease that expires not before `ttl` seconds from now, and at most 5 % (60 s) later. ttl >= 1."""
        lease = self._by_ttl.get(ttl)
        if lease is None or self._clock.monotonic() >= lease.until or lease.objects >= _MAX_OBJECTS:
            surplus = min(_REUSE_SECONDS, int(ttl * _REUSE_SHARE))
            asked = self._clock.monotonic()
            lease = _Lease(await self._grant(ttl + surplus), asked + surplus)
            self._by_ttl[ttl] = lease
        lease.objects += 1
        return lease.lease_id

    def forget(self, ttl: int) -> None:
        """The lease for `ttl` is not known to etcd any more."""
        self._by_ttl.pop(ttl, None)
