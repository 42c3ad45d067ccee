"""What selections and calls become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import Overload
from controlplane.apiserver.cel.run import Eval, Run
from controlplane.apiserver.cel.values import Optional, cost_of


def field(get: Eval, name: str, read: Callable[[Any], Any] | None) -> Eval:
    """`operand.name`; read: what makes the stored value the field's."""

    def run(state: Run) -> Any:
        value = get(state)
        if not isinstance(value, dict):
            if type(value) is Optional:
                return operators.optional_index(value, name)
            raise CelError(operators.NO_OVERLOAD)
        try:
            found = value[name]
        except KeyError:
            raise CelError(f"no such key: {name}") from None
        return found if read is None or found is None else read(found)

    return run


def maybe(get: Eval, name: str, read: Callable[[Any], Any] | None) -> Eval:
    """`operand.?name`."""

    def run(state: Run) -> Any:
        found = operators.optional_index(get(state), name)
        return found if read is None or found.value is None else Optional.of(read(found.value))

    return run


def present(get: Eval, name: str) -> Eval:
    """`has(operand.name)`."""

    def run(state: Run) -> bool:
        value = get(state)
        if type(value) is Optional:
            value = value.value if value.present else {}
        if not isinstance(value, dict):
            raise CelError(operators.NO_OVERLOAD)
        return name in value

    return run


def invoke(fitting: list[Overload], args: list[Eval], exact: bool) -> Eval:
    """A call: of the only overload when the types are known (exact), else of the first that the values fit."""
    first = fitting[0]
    call, weight = first.run, first.weight

    def run(state: Run) -> Any:
        values = [arg(state) for arg in args]
        if exact:
            if weight:
                state.spend(int(weight * sum(map(cost_of, values))))
            return call(*values)
        for each in fitting:
            if each.accepts(values):
                if each.weight:
                    state.spend(int(each.weight * sum(map(cost_of, values))))
                return each.run(*values)
        raise CelError(operators.NO_OVERLOAD)

    return run
