"""How long a DaemonSet leaves a failed pod of a node before it makes another: 1 s, doubled each time to 15 minutes.

Pure (flowcontrol.Backoff, as pkg/controller/daemon uses it). Moments are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Hashable

_FIRST, _MAX = 1.0, 900.0


class FailureBackoff:
    """By key: the last delay, and since when. Twice the longest delay without a failure forgets the key."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, float]] = {}

    def may_retry(self, key: Hashable, now: float) -> bool:
        """Tell whether the failure seen now may be replaced, and begin the next delay if it may."""
        if self.left(key, now) > 0:
            return False
        self._kept = {each: known for each, known in self._kept.items() if now - known[1] <= 2 * _MAX}
        delay, _ = self._kept.get(key, (0.0, now))
        self._kept[key] = (min(_MAX, 2 * delay) or _FIRST, now)
        return True

    def left(self, key: Hashable, now: float) -> float:
        """Return the seconds still to wait."""
        delay, since = self._kept.get(key, (0.0, now))
        return max(0.0, since + delay - now)
