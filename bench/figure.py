"""What a measurement says: a value, the floor it is divided by, and what we want to reach."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a bench.

    value, floor: in `unit`, measured in the same run. floor_name: what was measured as floor. aim: the ratio (or, where
    `absolute`, the value) to stay below or equal to; None where nothing was promised.
    """

    name: str
    value: float
    unit: str
    floor_name: str
    floor: float
    aim: float | None = None
    absolute: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.value / self.floor

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        return (self.value if self.absolute else self.ratio) <= self.aim


def p50(samples: Sequence[float]) -> float:
    """The median."""
    return statistics.median(samples)
