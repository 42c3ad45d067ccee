"""Every way through rules that choose at random: one walk for each, in order, with its probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

MAX_WAYS = 256


class Chooser:
    """Decides as it was told, and takes the first possible way beyond that; knows what else was possible."""

    def __init__(self, told: Sequence[int] = ()) -> None:
        self._told = tuple(told)
        self.made: list[int] = []
        self.offered: list[Sequence[float]] = []
        self.probability = 1.0

    def pick(self, chances: Sequence[float]) -> int:
        """The index of one. chances: the probability of each, together 1; one of 0 is never taken."""
        number = len(self.made)
        first = next(index for index, chance in enumerate(chances) if chance > 0)
        taken = self._told[number] if number < len(self._told) else first
        self.made.append(taken)
        self.offered.append(chances)
        self.probability *= chances[taken]
        return taken

    def next(self) -> tuple[int, ...] | None:
        """What to tell the next one; None when every way was taken."""
        for number in range(len(self.made) - 1, -1, -1):
            chances = self.offered[number]
            for other in range(self.made[number] + 1, len(chances)):
                if chances[other] > 0:
                    return (*self.made[:number], other)
        return None


def every_way(walk: Callable[[Chooser], T], limit: int = MAX_WAYS) -> tuple[list[T], bool]:
    """What each walk returned, and whether these are all; `limit` is the most that are walked."""
    told: tuple[int, ...] | None = ()
    found: list[T] = []
    while told is not None and len(found) < limit:
        chooser = Chooser(told)
        found.append(walk(chooser))
        told = chooser.next()
    return found, told is None
