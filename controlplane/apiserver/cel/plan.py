"""A tree to a typed, runnable plan in one walk: every node is checked and becomes a closure.

Cost is counted where time is spent: each run pays its nodes once, every turn of a comprehension pays the nodes of its
body, and functions pay by the size of their arguments (upstream's weights: 0.1 a character, 1 an element).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.cel import closures, comprehensions, operators
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
from controlplane.apiserver.cel.equality import comparer
from controlplane.apiserver.cel.errors import CelError, located
from controlplane.apiserver.cel.lexer import RESERVED
from controlplane.apiserver.cel.library import FUNCTIONS, TYPE_NAMES, check_literals, check_runnable
from controlplane.apiserver.cel.library.formatting import misfit
from controlplane.apiserver.cel.overloads import NAMESPACES, Overload
from controlplane.apiserver.cel.run import Eval, Run
from controlplane.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    FREE,
    INT,
    NULL,
    STRING,
    UINT,
    ObjectType,
    Type,
    assignable,
    join,
    list_of,
    map_of,
    nullable,
    optional_of,
    substitute,
    type_of,
)
from controlplane.apiserver.cel.values import NONE, Optional, TypeValue, Uint, cost_of, type_name

_CONSTANTS: dict[type, Type] = {
    bool: BOOL,
    int: INT,
    Uint: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a node is, how it runs, and what one run of it costs."""

    type: Type
    run: Eval
    cost: int


def _never(run: Run) -> Any:
    raise CelError("not compiled")


_WRONG = Plan(ERROR, _never, 0)


class Planner:
    """One use: `plan` the root, then look at `errors`."""

    def __init__(self, text: str, variables: Mapping[str, Type]) -> None:
        self._text, self._scope = text, dict(variables)
        self.errors: list[str] = []
        self.unrunnable: list[str] = []
        """Why a program cannot be made of what compiles."""
        self.mentioned: set[str] = set()
        self.types: dict[int, Type] = {}
        """What each node is, by the id of the node."""
        self._mixed = False
        """Whether literals may mix types: what a format is given is as different as its verbs."""

    def plan(self, node: Node) -> Plan:
        """The plan; mistakes are collected in `errors`, each located."""
        made = self._plan(node)
        self.types[id(node)] = made.type
        return made

    def _plan(self, node: Node) -> Plan:
        match node:
            case Const(_, value):
                return Plan(_CONSTANTS[type(value)], lambda run: value, 0)
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListLiteral():
                return self._list(node)
            case MapLiteral():
                return self._map(node)
            case Comprehension():
                return self._comprehension(node)
            case OptionalMap():
                return self._optional_map(node)

    def _wrong(self, node: Node, message: str) -> Plan:
        self.errors.append(located(self._text, node.offset, message))
        return _WRONG

    def _no_overload(self, node: Node, function: str, kinds: list[Type], member: bool) -> Plan:
        if any(kind is ERROR for kind in kinds):
            return _WRONG
        receiver = f"{kinds[0]}." if member else ""
        shown = f"{receiver}({', '.join(map(str, kinds[member:]))})"
        return self._wrong(node, f"found no matching overload for '{function}' applied to '{shown}'")

    def _ident(self, node: Ident) -> Plan:
        name = node.name
        if name in self._scope:
            self.mentioned.add(name)
            return Plan(self._scope[name], comprehensions.variable(name), 1)
        if name in TYPE_NAMES:
            kind = TYPE_NAMES[name]
            value = TypeValue(kind.name)
            return Plan(type_of(kind), lambda run: value, 0)
        return self._wrong(node, f"undeclared reference to '{name}' (in container '')")

    def _select(self, node: Select) -> Plan:
        path = _path(node)
        if path is not None and path in self._scope:
            return Plan(self._scope[path], comprehensions.qualified(path), 1)
        if path is not None and path in TYPE_NAMES and path.split(".")[0] not in self._scope:
            kind = TYPE_NAMES[path]
            value = TypeValue(kind.name)
            return Plan(type_of(kind), lambda run: value, 0)
        operand = self.plan(node.operand)
        base, get = operand.type, operand.run
        chained = base.name == "optional_type"
        if chained:
            base = base.args[0] if base.args else DYN
        kind, part = DYN, closures.Part(node.field, node.field)
        if isinstance(base, ObjectType):
            field = base.fields.get(node.field)
            if field is None and node.field in RESERVED:
                field = base.fields.get(f"__{node.field}__")
            if field is not None:
                kind, part = field.type, closures.Part(field.name, node.field, field.read, base.sparse)
            elif not base.open:
                return self._wrong(node, f"undefined field '{node.field}'")
        elif base.name == "map":
            kind = base.args[1] if base.args else DYN
        elif base.name not in ("dyn", "free", "error"):
            return self._wrong(node, f"type '{base}' does not support field selection")
        cost = operand.cost + (0 if node.test else 1)
        if node.test:
            return Plan(BOOL, closures.present(get, part), cost)
        if chained or node.optional:
            return Plan(optional_of(kind), closures.maybe(get, part), cost)
        return Plan(kind, closures.field(get, part), cost)

    def _list(self, node: ListLiteral) -> Plan:
        plans = [self.plan(each) for each in node.elements]
        kind: Type | None = None
        for position, (each, plan) in enumerate(zip(node.elements, plans, strict=True)):
            found = plan.type
            if position in node.optional:
                if found.name not in ("optional_type", "dyn", "free", "error"):
                    return self._wrong(each, f"expected type 'optional_type({found})' but found '{found}'")
                found = found.args[0] if found.args else DYN
            joined = found if kind is None else join(kind, found)
            if joined is None and not self._mixed:
                return self._wrong(each, f"expected type '{kind}' but found '{found}'")
            kind = joined or DYN
        runs = [plan.run for plan in plans]
        cost = 10 + sum(plan.cost for plan in plans)
        if not node.optional:
            return Plan(list_of(kind or FREE), lambda run: [each(run) for each in runs], cost)
        marked = [(each, position in node.optional) for position, each in enumerate(runs)]
        return Plan(list_of(kind or FREE), closures.list_of(marked), cost)

    def _map(self, node: MapLiteral) -> Plan:
        keys: Type | None = None
        values: Type | None = None
        parts = []
        cost = 30
        for key, value, optional in node.entries:
            key_plan, value_plan = self.plan(key), self.plan(value)
            found = value_plan.type
            if optional:
                if found.name not in ("optional_type", "dyn", "free", "error"):
                    return self._wrong(value, f"expected type 'optional_type({found})' but found '{found}'")
                found = found.args[0] if found.args else DYN
            joined = key_plan.type if keys is None else join(keys, key_plan.type)
            if joined is None and not self._mixed:
                return self._wrong(key, f"expected type '{keys}' but found '{key_plan.type}'")
            keys = joined or DYN
            joined = found if values is None else join(values, found)
            if joined is None and not self._mixed:
                return self._wrong(value, f"expected type '{values}' but found '{found}'")
            values = joined or DYN
            parts.append((key_plan.run, value_plan.run, optional))
            cost += key_plan.cost + value_plan.cost
        return Plan(map_of(keys or FREE, values or FREE), closures.map_of(parts), cost)

    def _call(self, node: Call) -> Plan:
        name, target, args = called(node, self._scope)
        member = target is not None
        if target is not None:
            args.insert(0, target)
        formats = name == "format" and member
        outer, self._mixed = self._mixed, self._mixed or formats
        plans = [self.plan(arg) for arg in args]
        self._mixed = outer
        kinds = [plan.type for plan in plans]
        if any(kind is ERROR for kind in kinds):
            return _WRONG
        special = _SPECIAL.get(name) if not member else None
        if special is not None:
            return special(self, node, plans, kinds)
        known = FUNCTIONS.get(name)
        if known is None:
            return self._wrong(node, f"undeclared reference to '{name}' (in container '')")
        fitting: list[Overload] = []
        results: list[Type] = []
        for each in known:
            binds: dict[str, Type] = {}
            if (
                each.member == member
                and len(each.params) == len(kinds)
                and all(assignable(want, have, binds) for want, have in zip(each.params, kinds, strict=True))
            ):
                fitting.append(each)
                results.append(substitute(each.result, binds))
        if not fitting:
            return self._no_overload(node, name, kinds, member)
        wrong = check_literals(name, [arg.value if isinstance(arg, Const) else None for arg in args])
        if wrong is not None:
            return self._wrong(args[wrong[0]], wrong[1])
        try:
            check_runnable(name, [arg.value if isinstance(arg, Const) else None for arg in args])
        except CelError as error:
            self.unrunnable.append(str(error))
        if formats and (misfits := self._misformatted(args)) is not None:
            return self._wrong(node if misfits[0] is None else misfits[0], misfits[1])
        result = results[0] if all(kind == results[0] for kind in results) else DYN
        exact = len(fitting) == 1 and not any(_loose(kind) for kind in kinds)
        cost = 1 + sum(plan.cost for plan in plans)
        return Plan(result, closures.invoke(fitting, [plan.run for plan in plans], exact), cost)

    def _misformatted(self, args: list[Node]) -> tuple[Node | None, str] | None:
        """What is wrong with `"template".format([arguments])`: the argument (None: the call) and the message."""
        template, listed = args
        if not (isinstance(template, Const) and isinstance(template.value, str) and isinstance(listed, ListLiteral)):
            return None
        found = misfit(template.value, [self.types[id(each)] for each in listed.elements])
        return found and (None if found[0] is None else listed.elements[found[0]], found[1])

    def _comprehension(self, node: Comprehension) -> Plan:
        over = self.plan(node.over)
        kind = over.type
        kinds: tuple[Type, ...]
        if kind.name == "list" and kind.args:
            kinds = (INT, kind.args[0]) if len(node.names) == 2 else (kind.args[0],)
        elif kind.name == "map" and kind.args:
            kinds = kind.args[: len(node.names)]
        elif kind.name in ("dyn", "free", "error"):
            kinds = (DYN,) * len(node.names)
        else:
            return self._wrong(
                node.over,
                f"expression of type '{kind}' cannot be range of a comprehension (must be list, map, or dynamic)",
            )
        outer = self._scope
        self._scope = {**outer, **dict(zip(node.names, kinds, strict=True))}
        predicate = self.plan(node.predicate) if node.predicate is not None else None
        result = self.plan(node.result) if node.result is not None else None
        self._scope = outer
        if predicate is not None and predicate.type.name not in ("bool", "dyn", "free", "error"):
            operator = {"all": "_&&_", "exists": "_||_"}.get(node.macro)
            shown = [BOOL, predicate.type] if operator else [predicate.type, DYN, DYN]
            return self._no_overload(node, operator or "_?_:_", shown, False)
        if ERROR in (over.type, predicate and predicate.type, result and result.type):
            return _WRONG
        turn = 1 + (predicate.cost if predicate else 0) + (result.cost if result else 0)
        test, make = (plan.run if plan is not None else None for plan in (predicate, result))
        run = comprehensions.build(node.macro, over.run, node.names, test, make, turn)
        made = result.type if result is not None else DYN
        types = {"all": BOOL, "exists": BOOL, "existsOne": BOOL, "map": list_of(made), "transformList": list_of(made)}
        types["filter"] = kind if kind.name == "list" else list_of(kinds[0])
        types["transformMap"] = map_of(kind.args[0] if kind.name == "map" and kind.args else INT, made)
        types["transformMapEntry"] = made if made.name == "map" else map_of(DYN, DYN)
        if kind is DYN and node.macro in ("filter", "transformMap"):
            types[node.macro] = DYN
        return Plan(types[node.macro], run, over.cost + 1)

    def _optional_map(self, node: OptionalMap) -> Plan:
        target = self.plan(node.target)
        kind = target.type
        if kind.name not in ("optional_type", "dyn", "free", "error"):
            return self._no_overload(node, "optFlatMap" if node.flat else "optMap", [kind, DYN, DYN], True)
        outer = self._scope
        self._scope = {**outer, node.name: kind.args[0] if kind.args else DYN}
        body = self.plan(node.body)
        self._scope = outer
        if ERROR in (kind, body.type):
            return _WRONG
        get, turn, flat = target.run, comprehensions.scoped(node.name, body.run), node.flat

        def run(state: Run) -> Any:
            found = get(state)
            if type(found) is not Optional:
                raise CelError(operators.NO_OVERLOAD)
            if not found.present:
                return NONE
            made = turn(state, found.value)
            return made if flat else Optional.of(made)

        return Plan(body.type if flat else optional_of(body.type), run, target.cost + body.cost + 1)

    # operators whose arguments are not all looked at, or whose types need a look of their own

    def logical(self, node: Call, plans: list[Plan], kinds: list[Type]) -> Plan:
        """`&&` and `||`: a failure of one side does not matter when the other decides."""
        if any(kind.name not in ("bool", "dyn", "free") for kind in kinds):
            return self._no_overload(node, node.function, kinds, False)
        decides = node.function == "_||_"
        return Plan(BOOL, closures.logical(plans[0].run, plans[1].run, decides), plans[0].cost + plans[1].cost)

    def conditional(self, node: Call, plans: list[Plan], kinds: list[Type]) -> Plan:
        """`a ? b : c`."""
        joined = join(kinds[1], kinds[2])
        if kinds[0].name not in ("bool", "dyn", "free") or joined is None:
            return self._no_overload(node, node.function, kinds, False)
        test, yes, no = (plan.run for plan in plans)

        def run(state: Run) -> Any:
            value = test(state)
            if type(value) is not bool:
                raise CelError(operators.NO_OVERLOAD)
            return yes(state) if value else no(state)

        return Plan(joined, run, plans[0].cost + max(plans[1].cost, plans[2].cost))

    def equality(self, node: Call, plans: list[Plan], kinds: list[Type]) -> Plan:
        """`==` and `!=`."""
        if join(kinds[0], kinds[1]) is None:
            return self._no_overload(node, node.function, kinds, False)
        wanted = node.function == "_==_"
        left, right = plans[0].run, plans[1].run
        same = comparer(kinds[0])
        scalar = any(kind in (INT, BOOL, UINT, DOUBLE, NULL) for kind in kinds)

        def run(state: Run) -> bool:
            one, other = left(state), right(state)
            if not scalar:
                state.spend(min(cost_of(one), cost_of(other)) // 10)
            return same(one, other) == wanted

        return Plan(BOOL, run, 1 + plans[0].cost + plans[1].cost)

    def convert(self, node: Call, plans: list[Plan], kinds: list[Type]) -> Plan:
        """`dyn(x)` and `type(x)`."""
        if len(plans) != 1:
            return self._no_overload(node, node.function, kinds, False)
        if node.function == "dyn":
            return Plan(DYN, plans[0].run, plans[0].cost)
        get = plans[0].run
        return Plan(type_of(kinds[0]), lambda run: TypeValue(type_name(get(run))), plans[0].cost + 1)


Special = Callable[[Planner, Call, list[Plan], list[Type]], Plan]
_SPECIAL: dict[str, Special] = {
    "_&&_": Planner.logical,
    "_||_": Planner.logical,
    "_?_:_": Planner.conditional,
    "_==_": Planner.equality,
    "_!=_": Planner.equality,
    "dyn": Planner.convert,
    "type": Planner.convert,
}


def called(node: Call, scope: Mapping[str, Type]) -> tuple[str, Node | None, list[Node]]:
    """The function's name with its namespace, the receiver (None: there is none), the arguments."""
    name, target, args = node.function, node.target, list(node.args)
    if target is not None:
        space = _path(target)
        if space in NAMESPACES and space not in scope and f"{space}.{name}" in FUNCTIONS:
            return f"{space}.{name}", None, args
    return name, target, args


def _loose(kind: Type) -> bool:
    """Whether a value may turn out to be something else than its static type says."""
    return kind.name in ("dyn", "free") or nullable(kind)


def _path(node: Node) -> str | None:
    """`a.b.c` for plain selects over a name."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.optional and not node.test:
        before = _path(node.operand)
        return None if before is None else f"{before}.{node.field}"
    return None
