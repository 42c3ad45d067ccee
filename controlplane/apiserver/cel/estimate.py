"""What an expression costs at worst, before it ever runs (cel-go's checker/cost.go, Kubernetes' pkg/cel/library).

A definition's rules are refused by this figure, so it must be upstream's to the unit: the weights, and which sizes are
known (those of literals, of fields by their schema, and of what a few functions make), are its.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controlplane.apiserver.cel.ast import (
    Call,
    Comprehension,
    Const,
    Ident,
    ListLiteral,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from controlplane.apiserver.cel.parser import parse
from controlplane.apiserver.cel.plan import Planner, called
from controlplane.apiserver.cel.types import DYN, Type

MOST = 2**64 - 1
"""Costs and sizes stop growing here."""
_LIST, _MAP = 10, 30
_CHECK = 350_000
_TRAVERSAL = 0.1
_REGEX = 0.25
_FORMAT_REGEX = 128
_SCALARS = frozenset({"bool", "int", "uint", "double", "google.protobuf.Timestamp", "google.protobuf.Duration"})
_TEXTS = frozenset({"string", "bytes"})
_UNSURE = frozenset({"dyn", "free", "error"})
_SELECTED = frozenset({"map", "object"})

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How many characters, bytes, elements or entries a value has: at least and at most."""

    least: int
    most: int

    def plus(self, other: Size) -> Size:
        return Size(_capped(self.least + other.least), _capped(self.most + other.most))

    def times(self, other: Size) -> Size:
        return Size(_capped(self.least * other.least), _capped(self.most * other.most))

    def either(self, other: Size) -> Size:
        return Size(min(self.least, other.least), max(self.most, other.most))

    def cost(self, factor: float = _TRAVERSAL) -> int:
        """The worst cost of walking it, `factor` a unit."""
        return _weighed(self.most, factor)


UNKNOWN, ONE = Size(0, MOST), Size(1, 1)

Sizes = Callable[[Path], Size | None]
"""The size of what is at a path (a variable, then fields, `@items`, `@values` or `@keys`); None: not known."""


def worst_cost(text: str, variables: Mapping[str, Type], sizes: Sizes) -> int:
    """Cost units of the most expensive run of an expression that compiles (see compile_expression)."""
    tree, planner = parse(text), Planner(text, variables)
    planner.plan(tree)
    return _Estimate(planner.types, variables, sizes).cost(tree)


class _Estimate:
    def __init__(self, types: Mapping[int, Type], variables: Mapping[str, Type], sizes: Sizes) -> None:
        self._types, self._variables, self._given = types, variables, sizes
        self._locals: dict[str, Path | None] = {}
        self._paths: dict[int, Path] = {}
        self._made: dict[int, Size] = {}

    def cost(self, node: Node) -> int:
        match node:
            case Const():
                return 0
            case Ident():
                path = self._locals.get(node.name, (node.name,))
                if path is not None:
                    self._paths[id(node)] = path
                return 1
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListLiteral():
                return _capped(_LIST + sum(self.cost(each) for each in node.elements))
            case MapLiteral():
                return _capped(_MAP + sum(self.cost(key) + self.cost(value) for key, value, _ in node.entries))
            case Comprehension():
                return self._comprehension(node)
            case OptionalMap():
                return self._optional_map(node)

    def _type(self, node: Node) -> Type:
        return self._types.get(id(node), DYN)

    def _size(self, node: Node) -> Size:
        if id(node) in self._made:
            return self._made[id(node)]
        match node:
            case Const(_, str() | bytes() as text):
                return Size(len(text), len(text))
            case Const():
                return ONE
            case ListLiteral() | MapLiteral():
                count = len(node.elements if isinstance(node, ListLiteral) else node.entries)
                return Size(count, count)
        return self._at(self._paths.get(id(node)), self._type(node))

    def _at(self, path: Path | None, kind: Type) -> Size:
        found = self._given(path) if path else None
        if found is not None:
            return found
        return ONE if kind.name in _SCALARS else UNKNOWN

    def _select(self, node: Select) -> int:
        whole = self.cost(node.operand)
        if node.test:
            return whole
        if node.optional:
            return _capped(whole + 1)
        path = self._paths.get(id(node.operand))
        if path is not None:
            self._paths[id(node)] = (*path, node.field)
        return _capped(whole + (self._type(node.operand).name in _SELECTED))

    def _comprehension(self, node: Comprehension) -> int:
        ranged, over = self.cost(node.over), self._type(node.over)
        path = self._paths.get(id(node.over), ())
        below = {"list": "@items", "map": "@keys"}.get(over.name)
        if len(node.names) == 2:
            bound = {node.names[0]: None, node.names[1]: (*path, "@items" if over.name == "list" else "@values")}
            if over.name == "map":
                bound[node.names[0]] = (*path, "@keys")
        else:
            bound = {node.names[0]: (*path, below) if below else None}
        outer = self._locals
        self._locals = {**outer, **bound}
        test = self.cost(node.predicate) if node.predicate is not None else 0
        made = self.cost(node.result) if node.result is not None else 0
        self._locals = outer
        # What the macro becomes: how its result begins, what one turn costs, what the end costs.
        begin, turn, end = {
            "all": (0, 2 + 1 + test, 1),
            "exists": (0, 3 + 1 + test, 1),
            "existsOne": (0, test + 2, 2),
            "filter": (_LIST, test + _LIST + 3, 1),
            "map": (_LIST, test + _LIST + 2 + made, 1),
            "transformList": (_LIST, test + _LIST + 2 + made, 1),
            "transformMap": (_MAP, test + 3 + made, 1),
            "transformMapEntry": (_MAP, test + 2 + made, 1),
        }[node.macro]
        return _capped(ranged + begin + end + self._size(node.over).most * turn)

    def _optional_map(self, node: OptionalMap) -> int:
        target = self.cost(node.target)
        outer = self._locals
        self._locals = {**outer, node.name: None}
        body = self.cost(node.body)
        self._locals = outer
        # target.hasValue() ? optional.of(bind(name, target.value(), body)) : optional.none()
        return _capped((1 + target) + (0 if node.flat else 1) + _LIST + (1 + target) + body)

    def _call(self, node: Call) -> int:
        name, target, args = called(node, self._variables)
        costs = [self.cost(arg) for arg in args]
        whole = self.cost(target) if target is not None else 0
        if name in ("_&&_", "_||_"):
            return _capped(sum(costs))
        if name == "_?_:_":
            self._made[id(node)] = self._size(args[1]).either(self._size(args[2]))
            return _capped(costs[0] + max(costs[1:]))
        own, size = self._function(name, target, args)
        if size is not None:
            self._made[id(node)] = size
        if name == "_[_]":
            path = self._paths.get(id(args[0]))
            if path is not None:
                below = "@items" if self._type(args[0]).name == "list" else "@values"
                self._paths[id(node)] = (*path, below)
        return _capped(whole + sum(costs) + own)

    def _function(self, name: str, target: Node | None, args: list[Node]) -> tuple[int, Size | None]:
        """The cost of a call beside those of its arguments, and the size of its result where it is known."""
        sizes = [self._size(arg) for arg in args]
        if name in ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"):
            return self._comparison(name, args, sizes), None
        if name == "_+_":
            return self._sum(args, sizes)
        if name == "@in":
            return (1 if self._type(args[1]).name == "map" else sizes[1].most), None
        if target is not None:
            return self._member(name, target, args, sizes)
        match name:
            case "url":
                return sizes[0].cost(), sizes[0]
            case "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity":
                return sizes[0].cost(), None
            case "ip.isCanonical":
                return sizes[0].cost(2 * _TRAVERSAL), None
            case "matches":
                return _matching(sizes[0], sizes[1]), None
            case "bytes" if self._type(args[0]).name in ("string", "dyn"):
                return sizes[0].cost(), Size(sizes[0].least, _capped(4 * sizes[0].most))
            case "string" if self._type(args[0]).name in ("bytes", "dyn"):
                return sizes[0].cost(), Size(sizes[0].least // 4, sizes[0].most)
            case "strings.quote":
                return sizes[0].cost(), Size(_capped(sizes[0].least + 2), _capped(2 * sizes[0].most + 2))
            case "sets.contains" | "sets.intersects":
                return _capped(sizes[0].times(sizes[1]).most + 1), None
            case "sets.equivalent":
                return _capped(2 * sizes[0].times(sizes[1]).most + 1), None
        return 1, None

    def _member(self, name: str, target: Node, args: list[Node], sizes: list[Size]) -> tuple[int, Size | None]:
        size, kind = self._size(target), self._type(target)
        match name:
            case "check":
                return _CHECK, None
            case "fieldSelector" | "labelSelector":
                return _capped(_LIST + sizes[0].cost() + _weighed(sizes[0].cost(0.5), _LIST + 40)), None
            case "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf":
                if kind.name == "list":
                    return _capped(size.most * (1 + self._item_walk(target, kind))), None
                return size.cost(), None
            case "lowerAscii" | "upperAscii" | "substring" | "trim":
                return size.cost(), size
            case "replace":
                return size.cost(2 * _TRAVERSAL), _replaced(size, sizes[0], sizes[1])
            case "split":
                most = size.most
                if len(args) > 1 and isinstance(args[1], Const) and type(args[1].value) is int:
                    most = args[1].value % 2**64
                return size.cost(2 * _TRAVERSAL), Size(0, most)
            case "join":
                whole = self._joined(target, kind, size, sizes)
                return whole.cost(), whole
            case "find" | "findAll":
                return _matching(size, sizes[0]), Size(0, size.most)
            case "matches":
                return _matching(size, sizes[0]), None
            case "contains":
                return _capped(size.cost() * sizes[0].cost()), None
            case "startsWith" | "endsWith":
                return sizes[0].cost(), None
            case "format":
                return size.cost(), None
            case "containsIP" | "containsCIDR":
                base = 4 if name == "containsIP" else 7
                return _capped(base + (sizes[0].cost() if self._type(args[0]).name == "string" else 0)), None
            case "validate":
                return _weighed(sizes[0].cost(), _FORMAT_REGEX * _REGEX), None
        return 1, None

    def _item_walk(self, target: Node, kind: Type) -> int:
        """The cost of comparing one element of a list."""
        item = kind.args[0] if kind.args else DYN
        if item.name not in _TEXTS:
            return 0
        path = self._paths.get(id(target))
        return self._at((*path, "@items") if path else None, item).cost()

    def _joined(self, target: Node, kind: Type, size: Size, sizes: list[Size]) -> Size:
        path = self._paths.get(id(target))
        item = self._at((*path, "@items") if path else None, kind.args[0]) if kind.args else Size(0, 0)
        whole = size.times(item)
        if sizes:
            whole = whole.plus(sizes[0].times(Size(max(size.least - 1, 0), max(size.most - 1, 0))))
        return whole

    def _comparison(self, name: str, args: list[Node], sizes: list[Size]) -> int:
        left, right = (self._type(arg).name for arg in args)
        if name in ("_==_", "_!=_"):
            if left == right and left.startswith(("kubernetes.", "net.")):
                return 1
        elif not {left, right} & (_TEXTS | _UNSURE):
            return 1
        least = _weighed(min(size.most for size in sizes), _TRAVERSAL)
        return max(least, 1) if name not in ("_==_", "_!=_") and {left, right} <= _UNSURE else least

    def _sum(self, args: list[Node], sizes: list[Size]) -> tuple[int, Size | None]:
        kinds = {self._type(arg).name for arg in args} - _UNSURE
        whole = sizes[0].plus(sizes[1])
        if not kinds or kinds & _TEXTS:
            return whole.cost(), whole
        return 1, whole if kinds == {"list"} else None


def _replaced(size: Size, old: Size, new: Size) -> Size:
    """The size after `replace`: the shortest words become the longest, as often as they fit."""
    if old.least == 0:
        most = _capped(_capped(size.most + 1) * new.most + size.most)
    elif new.most <= old.least:
        most = size.most
    else:
        most = _capped(math.ceil(float(size.most) / old.least) * new.most)
    if old.most == 0:
        least = _capped(_capped(size.least + 1) * new.least + size.least)
    elif old.most <= new.least:
        least = size.least
    else:
        least = _capped(math.ceil(float(size.least) / old.most) * new.least)
    return Size(least, most)


def _matching(text: Size, pattern: Size) -> int:
    """RE2's run: one step more than the text is long, each as dear as the pattern is long."""
    return _capped(text.plus(ONE).cost() * pattern.cost(_REGEX))


def _weighed(amount: int, factor: float) -> int:
    return _capped(math.ceil(float(amount) * factor))


def _capped(amount: int) -> int:
    return min(amount, MOST)
