"""Exponential backoff per key, on the monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .clock import Clock


@dataclass(slots=True)
class _Entry:
    delay: float
    last: float


class Backoff:
    """`base`, then times `factor` for each failure, at most `cap` seconds.

    A key that did not fail for twice the cap starts anew (client-go util/flowcontrol/backoff.go does the same).
    """

    def __init__(self, base: float, cap: float, clock: Clock, factor: float = 2.0) -> None:
        if not 0 < base <= cap or factor < 1:
            raise ValueError(f"backoff needs 0 < base <= cap and factor >= 1, not {base=} {cap=} {factor=}")
        self._base, self._cap, self._factor, self._clock = base, cap, factor, clock
        self._entries: dict[str, _Entry] = {}

    def copy(self) -> Backoff:
        """Another that knows the same failures, and counts by itself."""
        other = Backoff(self._base, self._cap, self._clock, self._factor)
        other._entries = {key: replace(entry) for key, entry in self._entries.items()}
        return other

    def next(self, key: str) -> float:
        """Note a failure of `key` now; returns how many seconds to wait for the next try."""
        now = self._clock.monotonic()
        entry = self._entries.get(key)
        if entry is None or now - entry.last > 2 * self._cap:
            entry = self._entries[key] = _Entry(self._base, now)
        else:
            entry.delay = min(entry.delay * self._factor, self._cap)
            entry.last = now
        return entry.delay

    def delay(self, key: str) -> float:
        """The whole wait that the last failure of `key` asked for, in seconds; 0 if there was none."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def remaining(self, key: str) -> float:
        """How many seconds of that wait are left; 0 when the next try is due."""
        entry = self._entries.get(key)
        if entry is None:
            return 0.0
        return max(0.0, entry.last + entry.delay - self._clock.monotonic())

    def reset(self, key: str) -> None:
        """Forget the failures of `key`: it succeeded, or it is gone."""
        self._entries.pop(key, None)

    def forget_idle(self) -> None:
        """Drop the keys that would start anew anyway, so that the table is bounded by what fails now."""
        now = self._clock.monotonic()
        for key in [key for key, entry in self._entries.items() if now - entry.last > 2 * self._cap]:
            del self._entries[key]
