"""How the macros over ranges run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from controlplane.apiserver.cel.errors import CelError, CostExceeded
from controlplane.apiserver.cel.operators import NO_OVERLOAD, shown
from controlplane.apiserver.cel.run import Eval, Later, Run

_ABSENT = object()


def variable(name: str) -> Eval:
    """Reads a variable."""

    def run(state: Run) -> Any:
        try:
            return state.variables[name]
        except KeyError:
            raise CelError(f"no such attribute(s): {name}") from None

    return run


def qualified(name: str) -> Eval:
    """Reads a variable whose name has dots, and computes it when it is still to be computed."""
    read = variable(name)

    def run(state: Run) -> Any:
        value = read(state)
        return value.get() if isinstance(value, Later) else value

    return run


def scoped(name: str, body: Eval) -> Callable[[Run, Any], Any]:
    """Runs a body with one variable set."""

    def run(state: Run, value: Any) -> Any:
        with _names(state, (name,)):
            state.variables[name] = value
            return body(state)

    return run


@contextmanager
def _names(state: Run, names: tuple[str, ...]) -> Iterator[None]:
    variables = state.variables
    before = [variables.get(name, _ABSENT) for name in names]
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            if value is _ABSENT:
                variables.pop(name, None)
            else:
                variables[name] = value


def build(
    macro: str, over: Eval, names: tuple[str, ...], predicate: Eval | None, result: Eval | None, turn: int
) -> Eval:
    """The closure of one macro; `turn` is what one element costs."""
    two = len(names) == 2
    first, second = names[0], names[-1]

    def turns(state: Run) -> Iterator[Any]:
        found = over(state)
        if isinstance(found, dict):
            pairs: Any = list(found.items()) if two else list(found)
        elif isinstance(found, list):
            pairs = list(enumerate(found)) if two else found
        else:
            raise CelError(NO_OVERLOAD)
        variables = state.variables
        for pair in pairs:
            state.spend(turn)
            if two:
                variables[first], variables[second] = pair
            else:
                variables[first] = pair
            yield pair

    def holds(state: Run) -> bool:
        value = True if predicate is None else predicate(state)
        if type(value) is not bool:
            raise CelError(NO_OVERLOAD)
        return value

    def decide(state: Run, decides: bool) -> bool:
        failed: CelError | None = None
        for _ in turns(state):
            try:
                if holds(state) is decides:
                    return decides
            except CostExceeded:
                raise
            except CelError as e:
                failed = failed or e
        if failed is not None:
            raise failed
        return not decides

    def collect(state: Run) -> Any:
        match macro:
            case "all":
                return decide(state, False)
            case "exists":
                return decide(state, True)
            case "existsOne":
                return sum(holds(state) for _ in turns(state)) == 1
            case "filter":
                return [pair for pair in turns(state) if holds(state)]
            case "map" | "transformList":
                assert result is not None
                return [result(state) for _ in turns(state) if holds(state)]
            case "transformMap":
                assert result is not None
                return {pair[0]: result(state) for pair in turns(state) if holds(state)}
        assert result is not None
        merged: dict[Any, Any] = {}
        for _ in turns(state):
            if not holds(state):
                continue
            made = result(state)
            if not isinstance(made, dict):
                raise CelError(NO_OVERLOAD)
            for key, value in made.items():
                if key in merged:
                    raise CelError(f"insert failed: key {shown(key)} already exists")
                merged[key] = value
        return merged

    def run(state: Run) -> Any:
        with _names(state, names):
            return collect(state)

    return run
