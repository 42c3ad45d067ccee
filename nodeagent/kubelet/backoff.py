"""How long a container that keeps ending must wait: 10 s, doubling to 300 s, on the monotonic clock.

Differs from `apimachinery.kit.backoff` in what it counts from: the wait begins when the container ended, not when it
was started, and a container that ran for twice the cap starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.kit.clock import Clock

BASE, CAP = 10.0, 300.0


@dataclass(slots=True)
class _Entry:
    delay: float
    last: float


class CrashBackoff:
    """Waits by key (pod, container, image). cap: seconds."""

    def __init__(self, clock: Clock, cap: float = CAP, base: float = BASE) -> None:
        self._clock, self._cap, self._base = clock, cap, min(base, cap)
        self._entries: dict[str, _Entry] = {}
        self._ended: dict[str, float] = {}

    def saw_end(self, container_id: str) -> float:
        """Note that a container was found dead; returns when that was first noted, in monotonic seconds."""
        return self._ended.setdefault(container_id, self._clock.monotonic())

    def remaining(self, key: str, container_id: str) -> float:
        """Seconds until `key` may be started again after the end of `container_id`; 0 when it may now."""
        ended, entry = self.saw_end(container_id), self._entries.get(key)
        if entry is None or self._is_stale(entry, ended):
            return 0.0
        return max(0.0, ended + entry.delay - self._clock.monotonic())

    def delay(self, key: str) -> float:
        """The whole wait in force, in seconds."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def next(self, key: str, container_id: str) -> None:
        """Note that `key` is being started again after the end of `container_id`."""
        ended, entry = self.saw_end(container_id), self._entries.get(key)
        if entry is None or self._is_stale(entry, ended):
            self._entries[key] = _Entry(self._base, self._clock.monotonic())
            return
        entry.delay = min(entry.delay * 2, self._cap)
        entry.last = self._clock.monotonic()

    def _is_stale(self, entry: _Entry, ended: float) -> bool:
        """Whether the container that ended now had run for so long that its crashes before are forgiven."""
        return ended - entry.last > 2 * self._cap

    def forget(self, prefix: str, container_ids: set[str]) -> None:
        """Drop the keys that begin with `prefix` and what is known of these containers: their pod is gone."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
        for container_id in container_ids:
            self._ended.pop(container_id, None)
