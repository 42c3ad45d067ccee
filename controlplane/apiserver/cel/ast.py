"""The tree of an expression. `offset` is where an error about the node points, as cel-go places it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Const:
    offset: int
    value: Any


@dataclass(frozen=True, slots=True)
class Ident:
    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; `optional` for `.?field`, `test` for `has(operand.field)`."""

    offset: int
    operand: Node
    field: str
    optional: bool = False
    test: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args)` or `target.function(args)`; operators have cel-go's names (`_+_`)."""

    offset: int
    function: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`optional` holds the indices of `?element`s."""

    offset: int
    elements: tuple[Node, ...]
    optional: frozenset[int]


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """Entries are (key, value, optional)."""

    offset: int
    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A macro over a range: all, exists, existsOne, map, filter, transformList, transformMap, transformMapEntry."""

    offset: int
    macro: str
    over: Node
    names: tuple[str, ...]
    predicate: Node | None
    result: Node | None


@dataclass(frozen=True, slots=True)
class OptionalMap:
    """`target.optMap(name, body)`; `flat` for optFlatMap."""

    offset: int
    target: Node
    name: str
    body: Node
    flat: bool


Node = Const | Ident | Select | Call | ListLiteral | MapLiteral | Comprehension | OptionalMap
