"""One evaluation: the variables in sight and what it may still cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.apiserver.cel.errors import CostExceeded


class Run:
    """`variables` is this evaluation's own dict: comprehensions add to it and take away."""

    __slots__ = ("left", "variables")

    def __init__(self, variables: dict[str, Any], left: int) -> None:
        self.variables, self.left = variables, left

    def spend(self, cost: int) -> None:
        """Raises CostExceeded when nothing is left."""
        self.left -= cost
        if self.left < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")


Eval = Callable[[Run], Any]
