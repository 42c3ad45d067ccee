"""x-kubernetes-validations: CEL rules of a schema over an object (KEP-2876), transition rules with oldSelf included
(k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from apimachinery.meta.go_print import quoted
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, required
from controlplane.apiserver.cel import Budget, CelError, CostExceeded, Program, compile_expression, optional_of, refusal
from controlplane.apiserver.cel.types import BOOL, STRING, Type
from controlplane.apiserver.cel.values import NONE, Optional
from controlplane.apiserver.extensions.cel_types import declared
from controlplane.apiserver.extensions.values import ABSENT, correlation

Schema = Mapping[str, Any]
Object = dict[str, Any]
Warn = Callable[[str], None]

BUDGET = 10_000_000
"""Cost units that all rules of one object may take (upstream: RuntimeCELCostBudget)."""
MAX_MESSAGE = 5 * 1024
_TYPE_META = ("apiVersion", "kind")
"""Fields of the root that say nothing of what was before: both objects are shown in the version of the request."""
_MESSAGE_OUT_OF_BUDGET = (
    "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
)
_MESSAGE_TOO_DEAR = "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}"
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. uses_old: a transition rule; field_path: appended to where it stands."""

    said: Object
    program: Program
    message: Program | None
    uses_old: bool
    field_path: str

    @property
    def text(self) -> str:
        """The rule as messages name it."""
        return str(self.said.get("message") or self.said["rule"]).strip()


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that does not compile."""

    why: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A value and the one that an update found there. known: the nearest pair above; where items of a list cannot be
    told apart, only the whole list shows that they are as they were."""

    value: Any
    old: Any
    path: str
    known: tuple[Any, Any] | None

    def is_unchanged(self) -> bool:
        if self.old is not ABSENT:
            return bool(self.value == self.old)
        return self.known is not None and bool(self.known[0] == self.known[1])


@dataclass(frozen=True, slots=True)
class _Run:
    """One look at an object."""

    problems: list[Problem]
    budget: Budget
    warn: Warn | None

    def exhausted(self, problem: Problem) -> NoReturn:
        """Tell it and end. Raises Exhausted."""
        self.problems.append(problem)
        raise Exhausted

    def afford(self, where: Path, kind: str) -> None:
        """Raises Exhausted when the last expression cost more than was left."""
        if self.budget.left < 0:
            self.exhausted(invalid(where, kind, _OUT_OF_BUDGET))


class Exhausted(Exception):
    """The budget is used up; nothing further is run."""


class Rules:
    """The rules of one schema node and of all below it."""

    def __init__(self, schema: Schema, rules: list[Rule | Broken], read: Callable[[Any], Any] | None) -> None:
        self._schema, self._rules, self._read = schema, rules, read
        self._fields: dict[str, Rules] = {}
        self._more: Rules | None = None
        self._items: Rules | None = None

    @classmethod
    def of(cls, schema: Schema, *, root: bool = True) -> Rules | None:
        """The rules in a schema, or None. One that does not compile was refused when it was written; should one be
        stored, nothing can be written that it is about."""
        if not has_rules(schema):
            return None
        found = cls(schema, [], declared(schema, root=root)[1])
        for said in schema.get("x-kubernetes-validations") or ():
            try:
                found._rules.append(compile_rule(schema, said, root=root))
            except CelError as error:
                found._rules.append(Broken(f"rule compile error: {error}"))
        for name, below in (schema.get("properties") or {}).items():
            rules = cls.of(below, root=bool(below.get("x-kubernetes-embedded-resource")))
            if rules is not None:
                found._fields[name] = rules
        for key, below in (
            ("additionalProperties", schema.get("additionalProperties")),
            ("items", schema.get("items")),
        ):
            rules = (
                cls.of(below, root=bool(below.get("x-kubernetes-embedded-resource")))
                if isinstance(below, dict)
                else None
            )
            if key == "items":
                found._items = rules
            else:
                found._more = rules
        return found

    def check(self, value: Any, old: Any, warn: Warn | None) -> list[Problem]:
        """What is wrong with an object. old: ABSENT on create; warn: is told what is wrong with parts that are as they
        were. None: they are judged like any other."""
        problems: list[Problem] = []
        try:
            self._check(_Place(value, old, "", None), _Run(problems, Budget(BUDGET), warn))
        except Exhausted:
            pass
        return problems

    def _check(self, place: _Place, run: _Run) -> None:
        value, old, path = place.value, place.old, place.path
        if value is None:
            return
        if self._rules:
            self._evaluate(place, run)
        known = (value, old) if old is not ABSENT else place.known
        if isinstance(value, dict):
            before = old if isinstance(old, dict) and self._schema.get("x-kubernetes-map-type") != "atomic" else {}
            for name, inner in value.items():
                rules = self._fields.get(name, self._more)
                if rules is not None:
                    here = f"{path}[{name}]" if name not in self._fields else f"{path}.{name}" if path else name
                    whose = replace(run, warn=None) if here in _TYPE_META else run
                    rules._check(_Place(inner, before.get(name, ABSENT), here, known), whose)
        elif isinstance(value, list) and self._items is not None:
            same = correlation(self._schema, old)
            for position, item in enumerate(value):
                self._items._check(_Place(item, same(item), f"{path}[{position}]", known), run)

    def _evaluate(self, place: _Place, run: _Run) -> None:
        kind = str(self._schema.get("type") or "")
        where = Path(place.path) if place.path else Path()
        read, old = self._read or _as_it_is, None if place.old is ABSENT else place.old
        for rule in self._rules:
            if isinstance(rule, Broken):
                run.problems.append(invalid(where, kind, rule.why))
                continue
            optional = bool(rule.said.get("optionalOldSelf"))
            if rule.uses_old and old is None and not optional:
                continue
            bindings: Object = {"self": read(place.value)}
            if optional:
                bindings["oldSelf"] = NONE if old is None else Optional.of(read(old))
            elif rule.uses_old:
                bindings["oldSelf"] = read(old)
            if run.budget.left <= 0:
                run.exhausted(invalid(where, kind, _OUT_OF_BUDGET))
            try:
                result = rule.program.evaluate(bindings, run.budget)
            except CostExceeded as e:
                limit = "no further validation rules will be run due to call cost exceeds limit for rule"
                run.exhausted(invalid(where, kind, f"'{e}': {limit}: {rule.text}"))
            except CelError as e:
                run.afford(where, kind)
                run.problems.append(invalid(where, kind, _failure(e, rule)))
                continue
            run.afford(where, kind)
            if result is True:
                continue
            try:
                problem = _problem(rule, where, kind, self._sentence(rule, bindings, run.budget))
            except CostExceeded as e:
                run.exhausted(invalid(where, kind, str(e)))
            if run.warn is not None and not rule.uses_old and place.is_unchanged():
                run.warn(str(problem))
            else:
                run.problems.append(problem)

    def _sentence(self, rule: Rule, bindings: Object, budget: Budget) -> str:
        """What is said of a rule that does not hold. Raises CostExceeded."""
        if rule.message is not None:
            try:
                made = rule.message.evaluate(bindings, budget)
            except CostExceeded:
                raise CostExceeded(_MESSAGE_TOO_DEAR.format(quoted(str(rule.said["messageExpression"])))) from None
            except CelError:
                made = None  # the message is a courtesy: the plain one will do
            if budget.left < 0:
                raise CostExceeded(_MESSAGE_OUT_OF_BUDGET)
            if isinstance(made, str):
                made = made.strip()
                if made and "\n" not in made and len(made.encode()) <= MAX_MESSAGE:
                    return made
        said = rule.said.get("message")
        return str(said).strip() if said else f"failed rule: {str(rule.said['rule']).strip()}"


def _as_it_is(value: Any) -> Any:
    return value


def _failure(error: CelError, rule: Rule) -> str:
    if str(error).startswith("no such overload"):
        return (
            f"'{error}': call arguments did not match a supported operator, function or macro signature for rule: "
            f"{rule.text}"
        )
    return f"{error} evaluating rule: {rule.text}"


def _problem(rule: Rule, where: Path, kind: str, sentence: str) -> Problem:
    if rule.field_path:
        where = Path(f"{where}{rule.field_path}" if str(where) != "<nil>" else rule.field_path.removeprefix("."))
    match rule.said.get("reason"):
        case "FieldValueForbidden":
            return forbidden(where, sentence)
        case "FieldValueRequired":
            return required(where, sentence)
        case "FieldValueDuplicate":
            return duplicate(where, kind)
    return invalid(where, kind, sentence)


def has_rules(schema: Any) -> bool:
    """Whether there is a rule anywhere in the schema."""
    if not isinstance(schema, dict):
        return False
    if schema.get("x-kubernetes-validations"):
        return True
    below = [*(schema.get("properties") or {}).values(), schema.get("additionalProperties"), schema.get("items")]
    return any(map(has_rules, below))


def variables(schema: Schema, *, root: bool, optional_old: bool = False) -> dict[str, Type]:
    """What a rule of that node may name. Raises CelError for a node that expressions cannot see."""
    kind, _ = declared(schema, root=root)
    if kind is None:
        raise CelError("rule compiler initialization error: no type for the schema")
    return {"self": kind, "oldSelf": optional_of(kind) if optional_old else kind}


def compile_rule(schema: Schema, said: Object, *, root: bool) -> Rule:
    """Raises CelError with the reason when the rule does not compile. A message that does not is none."""
    names = variables(schema, root=root, optional_old=bool(said.get("optionalOldSelf")))
    try:
        program = compile_expression(said["rule"], names)
    except CelError as error:
        raise CelError(refusal(error)) from None
    if program.type != BOOL:
        raise CelError("cel expression must evaluate to a bool")
    message = None
    if said.get("messageExpression"):
        try:
            made = compile_expression(said["messageExpression"], names)
            message = made if made.type == STRING else None
        except CelError:
            pass
    # Whether the names are used decides which rules need an old value; strings that mention them do no harm.
    return Rule(said, program, message, uses_old(program), str(said.get("fieldPath") or ""))


def uses_old(program: Program) -> bool:
    """Whether a rule speaks of oldSelf."""
    return "oldSelf" in program.mentioned
