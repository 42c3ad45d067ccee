"""Field paths and the problems found at them, in the words of upstream's field errors.

k8s.io/apimachinery/pkg/util/validation/field: `spec.containers[0].ports[1].name: Invalid value: "x": must be …`.
"""

import json
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from apimachinery.meta.go_print import quoted


class Path(Struct, frozen=True, eq=False, gc=False):
    """A place in an object. Immutable; every step returns a new path. `str(path)` is upstream's spelling.

    Validation makes some seventy of them for a pod that has no problem, so a step only remembers where it was made, and
    the text is put together when somebody reads it. step: the first field's name; below another path with its dot or
    brackets.
    """

    step: str = ""
    parent: "Path | None" = None

    def child(self, *names: str) -> "Path":
        """The named field below, `spec` → `spec.replicas`."""
        return Path("." + ".".join(names), self)

    def index(self, position: int) -> "Path":
        """The element of a list, `spec.containers` → `spec.containers[0]`."""
        return Path(f"[{position}]", self)

    def key(self, name: str) -> "Path":
        """The entry of a map, `metadata.labels` → `metadata.labels[app]`."""
        return Path(f"[{name}]", self)

    def __str__(self) -> str:
        steps: list[str] = []
        path: Path | None = self
        while path is not None:
            steps.append(path.step)
            path = path.parent
        # Upstream prints a nil path so.
        return "".join(reversed(steps)).removeprefix(".") or "<nil>"

    def __repr__(self) -> str:
        return f"Path({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Problem(Struct, frozen=True):
    """One field error. `type` is the cause type of the Status, `message` the text after the field (ErrorBody)."""

    type: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class Verbatim(str):
    """A bad value that is to be shown as it stands, not quoted: the spelling of a Go struct, a list, a quantity."""

    __slots__ = ()


def required(path: Path, detail: str = "") -> Problem:
    """The value must be given (also for empty strings and lists)."""
    return Problem("FieldValueRequired", str(path), _body("Required value", detail))


def invalid(path: Path, value: Any, detail: str) -> Problem:
    """The value is malformed or out of bounds."""
    return Problem("FieldValueInvalid", str(path), _body(f"Invalid value: {render_value(value)}", detail))


def type_invalid(path: Path, value: Any, detail: str) -> Problem:
    """The value is not of the schema's type."""
    return Problem("FieldValueTypeInvalid", str(path), _body(f"Invalid value: {render_value(value)}", detail))


def not_supported(path: Path, value: Any, supported: Iterable[str]) -> Problem:
    """The value is not one of an enumeration. Give `supported` in the order it is to be listed (upstream sorts)."""
    values = ", ".join(quoted(word) for word in supported)
    detail = f"supported values: {values}" if values else ""
    return Problem("FieldValueNotSupported", str(path), _body(f"Unsupported value: {render_value(value)}", detail))


def duplicate(path: Path, value: Any) -> Problem:
    """The value must be unique and is not."""
    return Problem("FieldValueDuplicate", str(path), f"Duplicate value: {render_value(value)}")


def not_found(path: Path, value: Any) -> Problem:
    """The value names something that does not exist."""
    return Problem("FieldValueNotFound", str(path), f"Not found: {render_value(value)}")


def forbidden(path: Path, detail: str) -> Problem:
    """The value would be fine elsewhere, not here and now."""
    return Problem("FieldValueForbidden", str(path), _body("Forbidden", detail))


def too_long(path: Path, limit: int) -> Problem:
    """The value is longer than `limit` bytes (a negative limit is not named)."""
    detail = f"may not be more than {limit} bytes" if limit >= 0 else "value is too long"
    return Problem("FieldValueTooLong", str(path), _body("Too long", detail))


def too_many(path: Path, actual: int, limit: int) -> Problem:
    """The list has more than `limit` items."""
    detail = f"must have at most {limit} items" if limit >= 0 else "has too many items"
    return Problem("FieldValueTooMany", str(path), _body(f"Too many: {actual}", detail))


def internal(path: Path, detail: str) -> Problem:
    """Something failed that is not the user's doing."""
    return Problem("InternalError", str(path), _body("Internal error", detail))


def aggregate(problems: Iterable[object]) -> str:
    """All problems, or their texts, in one line, as upstream's aggregates: duplicates dropped, brackets around
    several."""
    texts = list(dict.fromkeys(str(problem) for problem in problems))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def render_value(value: Any) -> str:
    """A bad value as the sentence shows it: strings quoted, null, numbers and booleans bare, the rest as JSON."""
    if isinstance(value, Verbatim):
        return str(value)
    if value is None:
        return '"null"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _body(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head
