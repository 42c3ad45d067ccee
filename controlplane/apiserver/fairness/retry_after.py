"""How long who is refused is told to wait (apiserver/pkg/util/flowcontrol/dropped_requests_tracker.go)."""

from __future__ import annotations

_LONGEST = 32  # seconds


class RetryAfter:
    """Of one level: a second, doubled while many are refused, and a second less each time that few are.

    Many are three times as many as the seconds that were told, within so many seconds."""

    def __init__(self) -> None:
        self.seconds = 1
        self._counts: dict[int, int] = {}
        self._doubled = float("-inf")
        self._now = -1

    def refused(self, now: float) -> int:
        """Note a refusal; returns the seconds to tell. now: by a monotonic clock."""
        second = int(now)
        if second != self._now:
            self._now = second
            self._counts = {at: count for at, count in self._counts.items() if second - at <= _LONGEST}
            self._adjust(second)
        self._counts[second] = self._counts.get(second, 0) + 1
        return self.seconds

    def _adjust(self, now: int) -> None:
        """By the seconds before this one, of which nothing is known yet."""
        lately = sum(count for at, count in self._counts.items() if now - at <= self.seconds)
        if now - self._doubled >= self.seconds and lately >= 3 * self.seconds:
            self.seconds = min(2 * self.seconds, _LONGEST)
            self._doubled = now
        elif lately < self.seconds and self.seconds > 1:
            self.seconds -= 1
