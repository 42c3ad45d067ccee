"""One evaluation: the variables in sight and what it may still cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.apiserver.cel.errors import CelError, CostExceeded


class Later:
    """The value of a variable that is computed when an expression first names it, and kept; so is its failure."""

    __slots__ = ("_compute", "_error", "_known", "_value")

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute, self._known = compute, False
        self._value: Any = None
        self._error: CelError | None = None

    def get(self) -> Any:
        """Raises CelError, as often as asked."""
        if not self._known:
            self._known = True
            try:
                self._value = self._compute()
            except CelError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return self._value


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
