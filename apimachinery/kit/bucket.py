"""A bucket of tokens: so many things a second on average, and `burst` at once (client-go util/flowcontrol)."""

from __future__ import annotations

from .clock import Clock


class TokenBucket:
    """rate: tokens a second that come back, up to `burst`."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._tokens, self._counted = float(burst), clock.monotonic()

    def take(self) -> bool:
        """Take a token if there is one."""
        if self._count() < 1:
            return False
        self._tokens -= 1
        return True

    async def wait(self) -> None:
        """Take a token as soon as there is one; who comes first has the first."""
        lacking = 1 - self._count()
        self._tokens -= 1
        if lacking > 0:
            await self._clock.sleep(lacking / self._rate)

    def _count(self) -> float:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) * self._rate)
        self._counted = now
        return self._tokens
