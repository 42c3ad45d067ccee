"""The two ways a default applies, amounts, and reading parts that may be absent."""

from collections.abc import Mapping
from typing import Any

from apimachinery.meta import quantity

Object = dict[str, Any]

# How canonical amounts end that are finer than a thousandth.
_FINE = ("u", "n", "e-6", "e-9")


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


def round_up(holder: Mapping[str, Any] | None, *names: str) -> None:
    """In each of the named maps of amounts, what is finer than a thousandth becomes the next one
    (SetDefaults_ResourceList). Amounts that are not spelled canonically stay."""
    for field in names:
        amounts: Object = (holder or {}).get(field) or {}
        for name, amount in amounts.items():
            if isinstance(amount, str) and amount.endswith(_FINE):
                amounts[name] = quantity.rounded(amount)


def agree(holder: Object | None, one: str, many: str, key: str = "") -> None:
    """A field and the newer list that begins with its value: each follows from the other where it is missing. Where
    they differ the field alone counts, since older clients patch only that (conversion.go). key: where an item of the
    list has its value; "" for a list of plain ones."""
    if holder is None:
        return
    first, listed = holder.get(one), holder.get(many)
    begun = (listed[0].get(key) if key else listed[0]) if listed else None
    if not first and begun:
        holder[one] = begun
    elif first and first != begun:
        holder[many] = [{key: first} if key else first]
