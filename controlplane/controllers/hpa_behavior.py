"""How fast an autoscaler may go. Pure (pkg/controller/podautoscaler/horizontal.go; KEP-853).

Times are monotonic seconds: a wall clock that jumps neither opens nor closes a window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

Object = dict[str, Any]
Verdict = tuple[int, str, str]
"""Replicas, and the reason and message of a condition."""

DOWN_WINDOW = 300.0
"""Seconds that recommendations count against scaling down (--horizontal-pod-autoscaler-downscale-stabilization)."""
_LONGEST = 3600.0

_READY = ("ReadyForNewScale", "recommended size matches current size")
_UP_STABILIZED = "recent recommendations were lower than current one, applying the lowest recent recommendation"
_DOWN_STABILIZED = "recent recommendations were higher than current one, applying the highest recent recommendation"
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


@dataclass(slots=True)
class History:
    """What an autoscaler wanted and did: (when, replicas), (when, change)."""

    recommended: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def scaled(self, now: float, change: int) -> None:
        """Remember a change of the number of replicas, and forget what no policy can look at."""
        self.changes = [each for each in self.changes if each[0] > now - _LONGEST] + [(now, change)]

    def recommend(self, now: float, replicas: int) -> None:
        """Remember what the metrics asked for."""
        self.recommended = [each for each in self.recommended if each[0] > now - _LONGEST] + [(now, replicas)]


def window(behavior: Object, direction: str, down: float = DOWN_WINDOW) -> float:
    """The stabilization window of "scaleUp" or "scaleDown", in seconds. down: of the latter, where it is not said."""
    seconds = (behavior.get(direction) or {}).get("stabilizationWindowSeconds")
    return float(seconds) if seconds is not None else (down if direction == "scaleDown" else 0.0)


def stabilize(
    behavior: Object | None, history: History, current: int, desired: int, now: float, down_window: float = DOWN_WINDOW
) -> Verdict:
    """Return the recommendation nearest to `current` among the recent ones.

    Without a behavior it is the largest of them, also on the way up: a load that comes in bursts is met at once.
    """

    def recent(seconds: float) -> list[int]:
        return [replicas for at, replicas in history.recommended if at > now - seconds]

    if not behavior:
        found = max([desired, *recent(down_window)])
        return (found, *(_READY if found == desired else ("ScaleDownStabilized", _DOWN_STABILIZED)))
    up = min([desired, *recent(window(behavior, "scaleUp"))])
    down = max([desired, *recent(window(behavior, "scaleDown", down_window))])
    found = min(max(current, up), down)
    if found == desired:
        return found, *_READY
    if desired >= current:
        return found, "ScaleUpStabilized", _UP_STABILIZED
    return found, "ScaleDownStabilized", _DOWN_STABILIZED


def limit(
    behavior: Object | None, history: History, current: int, desired: int, bounds: tuple[int, int], now: float
) -> Verdict:
    """Keep `desired` within bounds (least, most) and within what the policies allow at once."""
    least, most = bounds
    if desired > current:
        fastest = _up_limit(behavior, history, current, now)
        allowed, why = (fastest, _UP_LIMIT) if most > fastest else (most, _TOO_MANY)
        if desired > allowed:
            return allowed, *why
    if desired < current and behavior:
        slowest = _down_limit(behavior, history, current, now)
        allowed, why = (slowest, _DOWN_LIMIT) if least < slowest else (least, _TOO_FEW)
        if desired < allowed:
            return allowed, *why
    if desired < least:
        return least, *_TOO_FEW
    if desired > most:
        return most, *_TOO_MANY
    return desired, *_WITHIN


def _up_limit(behavior: Object | None, history: History, current: int, now: float) -> int:
    rules = (behavior or {}).get("scaleUp")
    if not rules:
        return max(2 * current, 4)

    def proposed(start: int, policy: Mapping[str, Any]) -> int:
        if policy["type"] == "Pods":
            return start + int(policy["value"])
        # Rounded up: it would otherwise never leave a small number. In upstream's order: 50 and 10 percent are 56.
        return ceil(start * (1 + int(policy["value"]) / 100))

    choose = min if rules.get("selectPolicy") == "Min" else max
    return max(current, _apply(rules, history, current, now, proposed, choose))


def _down_limit(behavior: Object, history: History, current: int, now: float) -> int:
    rules = behavior.get("scaleDown")
    if not rules:
        return 0

    def proposed(start: int, policy: Mapping[str, Any]) -> int:
        if policy["type"] == "Pods":
            return start - int(policy["value"])
        return int(start * (1 - int(policy["value"]) / 100))

    choose = max if rules.get("selectPolicy") == "Min" else min
    return min(current, _apply(rules, history, current, now, proposed, choose))


def _apply(
    rules: Object,
    history: History,
    current: int,
    now: float,
    proposed: Callable[[int, Mapping[str, Any]], int],
    choose: Callable[[Sequence[int]], int],
) -> int:
    """Each policy counts from the size at the start of its period."""
    if rules.get("selectPolicy") == "Disabled":
        return current
    found = []
    for policy in rules.get("policies") or ():
        since = now - float(policy["periodSeconds"])
        found.append(proposed(current - sum(change for at, change in history.changes if at > since), policy))
    return choose(found) if found else current
