"""Fields of configuration files: what Go's decoder takes for a type, and what it says of everything else."""

from __future__ import annotations

from typing import Any

from apimachinery.meta.times import format_duration, parse_duration

_JSON_NAMES = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_GO_NAMES = {
    "duration": "v1.Duration",
    "[]object": "[]struct",
    "map[string]strings": "map[string][]string",
    "strings": "[]string",
}
# Lists and maps of which Go names the parts' type: what they are here, and that type.
_PARTS = {
    "[]string": ("list", "string"),
    "map[string]string": ("dict", "string"),
    "map[string]bool": ("dict", "bool"),
    "map[string]strings": ("dict", "strings"),
}
_PYTHON: dict[str, type] = {"string": str, "bool": bool, "strings": list}


class WrongType(ValueError):
    """The JSON value does not fit the field's type; the text is Go's."""


def decode(owner: str, path: str, kind: str, entry: Any) -> Any:
    """The value of a field, durations as Go writes them. owner: the struct that has it. Raises WrongType."""
    fits: dict[str, bool] = {
        "": True,
        "bool": isinstance(entry, bool),
        "string": isinstance(entry, str),
        "duration": isinstance(entry, str),
        "int32": _is_integer(entry, 31),
        "int64": _is_integer(entry, 63),
        "float32": isinstance(entry, int | float) and not isinstance(entry, bool),
        "float64": isinstance(entry, int | float) and not isinstance(entry, bool),
        "[]string": isinstance(entry, list) and all(isinstance(part, str) for part in entry),
        "[]object": isinstance(entry, list) and all(isinstance(part, dict) for part in entry),
        "map[string]string": isinstance(entry, dict) and all(isinstance(part, str) for part in entry.values()),
        "map[string]bool": isinstance(entry, dict) and all(isinstance(part, bool) for part in entry.values()),
        "map[string]strings": isinstance(entry, dict) and all(isinstance(part, list) for part in entry.values()),
    }
    if not fits[kind]:
        raise WrongType(mismatch(owner, path, entry, kind))
    if kind == "duration":
        try:
            return format_duration(parse_duration(entry))
        except ValueError as error:
            raise WrongType(f"{error} ({owner}.{path})") from None
    return entry


def mismatch(owner: str, path: str, entry: Any, kind: str) -> str:
    """What Go says of a value that does not fit the type `kind`: of a list or map, of the first part that is wrong."""
    outer, inner = _PARTS.get(kind, (None, ""))
    if outer == type(entry).__name__:
        parts: list[Any] = [entry[key] for key in sorted(entry)] if outer == "dict" else entry
        entry, kind = next(part for part in parts if not isinstance(part, _PYTHON[inner])), inner
    name = _JSON_NAMES.get(type(entry), "string")
    if kind in ("int32", "int64") and name == "number":
        name = f"number {entry}"
    return f"json: cannot unmarshal {name} into Go struct field {owner}.{path} of type {_GO_NAMES.get(kind, kind)}"


def _is_integer(entry: Any, bits: int) -> bool:
    return isinstance(entry, int) and not isinstance(entry, bool) and -(1 << bits) <= entry < 1 << bits
