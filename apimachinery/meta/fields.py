"""Field selectors (`spec.nodeName=n1,status.phase!=Failed`): parsing and matching.

k8s.io/apimachinery/pkg/fields. Which fields a kind can be selected by is the API server's matter, not decided here.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

_TERM = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL)


class Term(Struct, frozen=True):
    """One comparison; `operator` is "=" or "!=". A field that is absent compares as ""."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{escape(self.value)}"


class Selector(Struct, frozen=True):
    """All terms must hold."""

    terms: tuple[Term, ...] = ()

    def matches(self, fields: Mapping[str, str] | Callable[[str], str]) -> bool:
        """True when every term holds. `fields` gives the value of a field, "" when absent."""
        read = fields if callable(fields) else lambda name: fields.get(name, "")
        return all((read(term.field) == term.value) == (term.operator == "=") for term in self.terms)

    def requires(self, field: str) -> str | None:
        """The only value `field` may have under this selector, or None when it is not pinned to one."""
        return next((term.value for term in self.terms if term.field == field and term.operator == "="), None)

    @property
    def empty(self) -> bool:
        """True when everything matches."""
        return not self.terms

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


EVERYTHING = Selector()


def parse_selector(text: str) -> Selector:
    """The selector a query string spells. Raises ValueError with upstream's sentence."""
    terms = []
    for part in sorted(_split(text)):
        if not part:
            continue
        match = _TERM.fullmatch(part)
        if match is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = match.groups()
        terms.append(Term(field, "!=" if operator == "!=" else "=", unescape(value)))
    return Selector(tuple(terms))


def from_set(wanted: Mapping[str, str]) -> Selector:
    """The selector that pins each field to its value."""
    return Selector(tuple(Term(field, "=", wanted[field]) for field in sorted(wanted)))


def escape(value: str) -> str:
    """`value` with backslash, comma and equals sign escaped, for use in a selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def unescape(value: str) -> str:
    """The literal of an escaped value. Raises ValueError for a bare `,` or `=` and for an unknown escape."""
    if not any(char in value for char in "\\,="):
        return value
    out: list[str] = []
    chars: Iterable[str] = iter(value)
    escaped = False
    for char in chars:
        if escaped:
            if char not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{char}")
            out.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    if escaped:
        raise ValueError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)


def _split(text: str) -> list[str]:
    terms, start, escaped = [], 0, False
    for position, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:position])
            start = position + 1
    return [*terms, text[start:]]
