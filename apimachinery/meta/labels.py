"""Label selectors: the query-string syntax, the LabelSelector of objects, and matching.

k8s.io/apimachinery/pkg/labels. Parsed selectors are immutable and cached by their text.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, Verbatim, aggregate, invalid, not_supported

IN = "in"
NOT_IN = "notin"
EQUALS = "="
DOUBLE_EQUALS = "=="
NOT_EQUALS = "!="
EXISTS = "exists"
DOES_NOT_EXIST = "!"
GREATER_THAN = "gt"
LESS_THAN = "lt"

_SYMBOLS = "=!(),<>"
_WORDS = {")", ",", "!", "==", "=", ">", "<", "in", "notin", "!=", "("}
_BINARY_OPERATORS = "=, ==, in, !=, notin, gt, lt"
_OPERATORS = ("!", "!=", "=", "==", "exists", "gt", "in", "lt", "notin")


class Requirement(Struct, frozen=True):
    """One condition on one key. `values` are sorted and unique."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Upstream's truth table: NotIn and != also hold when the key is absent; Gt and Lt need integers."""
        present = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return present is not None and present in self.values
            case "notin" | "!=":
                return present is None or present not in self.values
            case "exists":
                return present is not None
            case "!":
                return present is None
            case _:
                left, right = _integer(present), _integer(self.values[0])
                if left is None or right is None:
                    return False
                return left > right if self.operator == GREATER_THAN else left < right

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt":
                return f"{self.key}>{self.values[0]}"
            case "lt":
                return f"{self.key}<{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


class Selector(Struct, frozen=True):
    """All requirements must hold; with `nothing` set, none ever does."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True when an object with these labels is selected."""
        if self.nothing:
            return False
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """True when everything matches."""
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def check_requirement(key: str, operator: str, values: tuple[str, ...], path: Path) -> list[Problem]:
    """What upstream's NewRequirement refuses, with its sentences; empty when the requirement is sound."""
    problems: list[Problem] = []
    if texts := names.qualified_name(key):
        problems.append(invalid(path.child("key"), key, "; ".join(texts)))
    where = path.child("values")
    listed = Verbatim("[]string{" + ", ".join(f'"{value}"' for value in values) + "}")
    if operator in (IN, NOT_IN):
        if not values:
            problems.append(invalid(where, listed, "for 'in', 'notin' operators, values set can't be empty"))
    elif operator in (EQUALS, DOUBLE_EQUALS, NOT_EQUALS):
        if len(values) != 1:
            problems.append(invalid(where, listed, "exact-match compatibility requires one single value"))
    elif operator in (EXISTS, DOES_NOT_EXIST):
        if values:
            problems.append(invalid(where, listed, "values set must be empty for exists and does not exist"))
    elif operator in (GREATER_THAN, LESS_THAN):
        if len(values) != 1:
            problems.append(invalid(where, listed, "for 'Gt', 'Lt' operators, exactly one value is required"))
        for position, value in enumerate(values):
            if _integer(value) is None:
                text = "for 'Gt', 'Lt' operators, the value must be an integer"
                problems.append(invalid(where.index(position), value, text))
    else:
        problems.append(not_supported(path.child("operator"), operator, _OPERATORS))
    for position, value in enumerate(values):
        if texts := names.label_value(value):
            problems.append(invalid(where.index(position).key(key), value, "; ".join(texts)))
    return problems


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """A checked requirement. Raises ValueError with upstream's sentence."""
    unique = tuple(sorted(set(values)))
    problems = check_requirement(key, operator, unique, Path())
    if problems:
        raise ValueError(aggregate(problems))
    return Requirement(key, operator, unique)


@lru_cache(maxsize=1024)
def parse_selector(text: str) -> Selector:
    """The selector a query string spells (`app=web,tier in (a,b),!gone`). Raises ValueError, upstream's message."""
    requirements = sorted(_Parser(text).parse(), key=lambda found: found.key)
    return Selector(tuple(requirements))


def from_set(wanted: Mapping[str, str] | None) -> Selector:
    """The selector that wants each label to be just so; EVERYTHING for an empty set. Values are not checked."""
    if not wanted:
        return EVERYTHING
    return Selector(tuple(Requirement(key, EQUALS, (wanted[key],)) for key in sorted(wanted)))


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """The selector of a metav1.LabelSelector: None selects nothing, an empty one everything.

    Raises ValueError for an operator or values that upstream refuses.
    """
    if selector is None:
        return NOTHING
    found = [Requirement(key, EQUALS, (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    kinds = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
    for expression in selector.get("matchExpressions") or ():
        operator = expression.get("operator", "")
        if operator not in kinds:
            raise ValueError(f'"{operator}" is not a valid label selector operator')
        found.append(requirement(expression.get("key", ""), kinds[operator], expression.get("values") or ()))
    return Selector(tuple(sorted(found, key=lambda each: each.key)))


def format_label_selector(selector: Mapping[str, Any] | None) -> str:
    """metav1.FormatLabelSelector: the text of an object's selector, `<none>` when it is empty, `<error>` if unsound."""
    try:
        return str(from_label_selector(selector)) or "<none>"
    except ValueError:
        return "<error>"


def _integer(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


class _Parser:
    """Recursive descent over the tokens of one selector; the grammar is in upstream's labels.Parse."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_scan(text))
        self._position = 0

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, literal = self._look()
            if kind == "end":
                return found
            if kind not in ("word", "!"):
                raise ValueError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as problem:
                raise ValueError(f"unable to parse requirement: {problem}") from None
            kind, literal = self._take()
            if kind == "end":
                return found
            if kind != ",":
                raise ValueError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._look()
            if kind not in ("word", "!"):
                raise ValueError(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._take()
        absent = kind == "!"
        if absent:
            kind, key = self._take()
        if kind != "word":
            raise ValueError(f"found '{key}', expected: identifier")
        if texts := names.qualified_name(key):
            raise ValueError(str(invalid(Path(), key, "; ".join(texts))))
        if absent:
            return requirement(key, DOES_NOT_EXIST)
        if self._look()[0] in ("end", ","):
            return requirement(key, EXISTS)
        kind, literal = self._take(values=False)
        operator = {">": GREATER_THAN, "<": LESS_THAN}.get(kind, kind)
        if kind in ("in", "notin"):
            return requirement(key, operator, self._set())
        if kind in ("=", "==", "!=", ">", "<"):
            return requirement(key, operator, self._single())
        raise ValueError(f"found '{literal}', expected: {_BINARY_OPERATORS}")

    def _single(self) -> set[str]:
        if self._look()[0] in ("end", ","):
            return {""}
        kind, literal = self._take()
        if kind == "word":
            return {literal}
        raise ValueError(f"found '{literal}', expected: identifier")

    def _set(self) -> set[str]:
        kind, literal = self._take()
        if kind != "(":
            raise ValueError(f"found '{literal}' expected: '('")
        kind, literal = self._look()
        if kind == ")":
            self._take()
            return {""}
        if kind not in ("word", ","):
            raise ValueError(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._identifiers()
        if self._take()[0] != ")":
            raise ValueError(f"found '{literal}', expected: ')'")
        return values

    def _identifiers(self) -> set[str]:
        values: set[str] = set()
        while True:
            kind, literal = self._take()
            if kind == "word":
                values.add(literal)
                after, text = self._look()
                if after == ")":
                    return values
                if after != ",":
                    raise ValueError(f"found '{text}', expected: ',' or ')'")
            elif kind == ",":
                if not values:
                    values.add("")  # "(,"
                after, _ = self._look()
                if after == ")":
                    values.add("")  # ",)"
                    return values
                if after == ",":
                    self._take()
                    values.add("")  # ",,"
            else:
                raise ValueError(f"found '{literal}', expected: ',', or identifier")

    def _look(self) -> tuple[str, str]:
        return self._read(self._position, True)

    def _take(self, values: bool = True) -> tuple[str, str]:
        token = self._read(self._position, values)
        self._position += 1
        return token

    def _read(self, position: int, values: bool) -> tuple[str, str]:
        kind, literal = self._tokens[min(position, len(self._tokens) - 1)]
        # "in" and "notin" are operators only where an operator may stand.
        return ("word", literal) if values and kind in ("in", "notin") else (kind, literal)


def _scan(text: str) -> Iterable[tuple[str, str]]:
    position = 0
    while position < len(text):
        char = text[position]
        start = position
        if char in " \t\r\n":
            position += 1
        elif char in _SYMBOLS:
            # The longest symbol: "==" and "!=" before "=" and "!".
            position += 2 if text[position : position + 2] in _WORDS else 1
            yield text[start:position], text[start:position]
        else:
            while position < len(text) and text[position] not in _SYMBOLS and text[position] not in " \t\r\n":
                position += 1
            word = text[start:position]
            yield (word if word in _WORDS else "word"), word
    yield "end", ""
