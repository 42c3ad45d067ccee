"""Expressions for the rest of the server: compile once, evaluate often, never for long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.apiserver.cel.errors import CelError, NotRunnable, located
from controlplane.apiserver.cel.parser import parse
from controlplane.apiserver.cel.plan import Plan, Planner
from controlplane.apiserver.cel.run import Run
from controlplane.apiserver.cel.types import DYN, Type, assignable

MAX_LENGTH = 100_000
"""Characters of an expression (cel-go's code point limit)."""
PER_CALL_LIMIT = 1_000_000
"""Cost units one evaluation may take (upstream: PerCallLimit). A unit is about a third of a microsecond."""


class Budget:
    """What several evaluations may cost together (upstream: RuntimeCELCostBudget); taken down by each."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Program:
    """A compiled expression. Safe to share; `type` is what it gives, `mentioned` the variables it names."""

    __slots__ = ("_plan", "mentioned", "text")

    def __init__(self, text: str, plan: Plan, mentioned: frozenset[str]) -> None:
        self.text, self._plan, self.mentioned = text, plan, mentioned

    @property
    def type(self) -> Type:
        """The static type of the result."""
        return self._plan.type

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The value. Bindings are read, not copied or changed.

        Raises CelError (cel-go's message), CostExceeded when the call or the budget is used up; a budget pays for
        failed evaluations too and may then be below zero.
        """
        run = Run(dict(bindings), PER_CALL_LIMIT)
        try:
            run.spend(self._plan.cost)
            return self._plan.run(run)
        except RecursionError:
            raise CelError("operation cancelled: nesting too deep") from None
        finally:
            if budget is not None:
                budget.left -= PER_CALL_LIMIT - run.left


def compile_expression(
    text: str, variables: Iterable[str] | Mapping[str, Type], *, result: Type | None = None
) -> Program:
    """Parse and check. variables: names (then of any type), or names with their types; result: what it must give.

    Raises CelError with every mistake, located (`ERROR: <input>:1:6: undefined field 'x'` and a mark below the line).
    """
    declared = variables if isinstance(variables, Mapping) else dict.fromkeys(variables, DYN)
    if len(text) > MAX_LENGTH:
        raise CelError(
            f"ERROR: <input>:-1:0: expression code point size exceeds limit: size: {len(text)}, limit {MAX_LENGTH}"
        )
    planner = Planner(text, declared)
    try:
        plan = planner.plan(parse(text))
    except RecursionError:
        raise CelError(located(text, 0, "expression recursion limit exceeded")) from None
    if planner.errors:
        raise CelError("\n".join(planner.errors))
    if planner.unrunnable:
        raise NotRunnable(planner.unrunnable[0])
    if result is not None and not assignable(result, plan.type, {}):
        raise CelError(located(text, 0, f"expression must evaluate to {result}"))
    return Program(text, plan, frozenset(planner.mentioned))
