"""Columns, and the words that many of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from apimachinery.meta import times

Object = dict[str, Any]
Cell = Any

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"

NAME_COLUMN = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}


class Column(Struct, frozen=True):
    """priority 1: shown with `-o wide` only."""

    name: str
    type: str = "string"
    priority: int = 0
    description: str = ""

    def definition(self) -> Object:
        """The TableColumnDefinition."""
        if self.name == "Name":
            return {**NAME_COLUMN, "priority": self.priority}
        return {
            "name": self.name,
            "type": self.type,
            "format": "",
            "description": self.description or self.name,
            "priority": self.priority,
        }


class Printer(Struct, frozen=True):
    """cells: one object and the present time → one value a column. conditions: the row's TableRowConditions. order: by
    what the rows of a list are sorted, where it is not by name."""

    columns: tuple[Column, ...]
    cells: Callable[[Object, datetime], list[Cell]]
    conditions: Callable[[Object], list[Object]] | None = None
    order: Callable[[Object], tuple[int, str]] | None = None


def columns(text: str) -> tuple[Column, ...]:
    """Columns from `Name Ready Restarts:integer IP* "Nominated Node"*` spelled with commas; `*` marks wide ones."""
    found = []
    for word in text.split(","):
        wide = word.rstrip().endswith("*")
        name, _, kind = word.strip().rstrip("*").partition(":")
        found.append(Column(name, kind or "string", 1 if wide else 0))
    return tuple(found)


def name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def age(obj: Object, now: datetime) -> str:
    """How long ago the object was created, `<unknown>` without a time."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def since(moment: str | None, now: datetime) -> str:
    """How long ago that was."""
    if not moment:
        return UNKNOWN
    return times.human_duration((now - times.parse(moment)).total_seconds())


def spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def state(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


def images(pod_spec: Mapping[str, Any]) -> tuple[str, str]:
    """Names and images of the containers, each joined by commas."""
    containers = pod_spec.get("containers") or []
    return ",".join(each["name"] for each in containers), ",".join(each.get("image", "") for each in containers)


def format_labels(found: Mapping[str, str] | None) -> str:
    """`key=value` of each, by key, `<none>` for nothing."""
    return ",".join(f"{key}={value}" for key, value in sorted((found or {}).items())) or NONE


def joined(words: list[str]) -> str:
    """Joined by commas, `<none>` for nothing."""
    return ",".join(words) or NONE
