"""The two ways a default applies, and reading parts that may be absent."""

from typing import Any

Object = dict[str, Any]


def when_absent(obj: Object, **defaults: Any) -> None:
    """Set what is not there (upstream's pointer fields: an explicit 0, "" or false stays)."""
    for name, value in defaults.items():
        if obj.get(name) is None:
            obj[name] = value


def when_empty(obj: Object, **defaults: Any) -> None:
    """Set what is not there or has Go's zero value (upstream's plain fields)."""
    for name, value in defaults.items():
        if not obj.get(name):
            obj[name] = value


def part(obj: Object, name: str) -> Object:
    """The named object below, made when absent."""
    found = obj.get(name)
    if found is None:
        found = obj[name] = {}
    inner: Object = found
    return inner


def items(obj: Object, name: str) -> list[Object]:
    """The named list below, empty when absent."""
    return obj.get(name) or []
