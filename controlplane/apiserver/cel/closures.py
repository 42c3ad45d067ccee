"""What selections and calls become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError, CostExceeded
from controlplane.apiserver.cel.overloads import Overload
from controlplane.apiserver.cel.run import Eval, Run
from controlplane.apiserver.cel.values import NONE, Optional, Uint, cost_of


@dataclass(frozen=True, slots=True)
class Part:
    """What a selection asks for. name: in the object; read: what makes the stored value the field's; sparse: null
    counts as absent; shown: the name in the expression."""

    name: str
    shown: str
    read: Callable[[Any], Any] | None = None
    sparse: bool = False


def field(get: Eval, part: Part) -> Eval:
    """`operand.name`."""
    name, read, sparse = part.name, part.read, part.sparse

    def run(state: Run) -> Any:
        value = get(state)
        if not isinstance(value, dict):
            if type(value) is Optional:
                return operators.optional_index(value, name)
            raise CelError(operators.NO_OVERLOAD)
        try:
            found = value[name]
        except KeyError:
            raise CelError(f"no such key: {part.shown}") from None
        if found is None:
            if sparse:
                raise CelError(f"no such key: {part.shown}")
            return None
        return found if read is None else read(found)

    return run


def maybe(get: Eval, part: Part) -> Eval:
    """`operand.?name`."""
    read = part.read

    def run(state: Run) -> Any:
        found = operators.optional_index(get(state), part.name)
        if found.value is None:
            return NONE if part.sparse else found
        return found if read is None else Optional.of(read(found.value))

    return run


def present(get: Eval, part: Part) -> Eval:
    """`has(operand.name)`."""
    name, sparse = part.name, part.sparse

    def run(state: Run) -> bool:
        value = get(state)
        if type(value) is Optional:
            value = value.value if value.present else {}
        if not isinstance(value, dict):
            raise CelError(operators.NO_OVERLOAD)
        return value.get(name) is not None if sparse else name in value

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


def list_of(marked: list[tuple[Eval, bool]]) -> Eval:
    """A list; of the marked elements (`?element`) those that are there."""

    def build(run: Run) -> Any:
        found = []
        for each, optional in marked:
            value = each(run)
            if not optional:
                found.append(value)
            elif type(value) is not Optional:
                raise CelError(operators.NO_OVERLOAD)
            elif value.present:
                found.append(value.value)
        return found

    return build


def map_of(parts: list[tuple[Eval, Eval, bool]]) -> Eval:
    """A map of keys and values; of the marked entries (`?key`) those that are there."""

    def build(run: Run) -> Any:
        found: dict[Any, Any] = {}
        for key_of, value_of, optional in parts:
            key, value = key_of(run), value_of(run)
            if type(key) not in (str, int, Uint, bool):
                raise CelError(f"unsupported key type: {key!r}")
            if optional:
                if type(value) is not Optional:
                    raise CelError(operators.NO_OVERLOAD)
                if not value.present:
                    continue
                value = value.value
            if key in found:
                raise CelError(f"insert failed: key {operators.shown(key)} already exists")
            found[key] = value
        return found

    return build


def logical(left: Eval, right: Eval, decides: bool) -> Eval:
    """`&&` and `||`: a failure of one side does not matter when the other decides."""

    def run(state: Run) -> bool:
        failed: CelError | None = None
        for side in (left, right):
            try:
                value = side(state)
            except CostExceeded:
                raise
            except CelError as e:
                failed = failed or e
                continue
            if value is decides:
                return bool(decides)
            if type(value) is not bool:
                failed = failed or CelError(operators.NO_OVERLOAD)
        if failed is not None:
            raise failed
        return not decides

    return run
