"""Simple JSON paths into an object: printer columns, scale's replicas, selectable fields."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from controlplane.apiserver.cel.operators import go_float

_STEP = re.compile(
    r"""\.(?P<field>(?:\\.|[^.\[\]\\])+)
      | \[(?P<index>-?\d+)\]
      | \[['"](?P<key>(?:\\.|[^'"\\])+)['"]\]
      | \[\?\(\s*@\.(?P<on>[A-Za-z0-9_.\-]+)\s*(?P<operator>==|!=)\s*(?P<quote>['"])(?P<value>.*?)(?P=quote)\s*\)\]
      | (?P<all>\[\*\]|\.\*)""",
    re.VERBOSE,
)
Step = tuple[str, Any]


class BadPath(ValueError):
    """Not a path that can be followed."""


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Step, ...]:
    """The steps of `.spec.ports[0].name`, `.metadata.labels['a.b']`, `.status.conditions[?(@.type=="Ready")].status`.

    Raises BadPath.
    """
    steps: list[Step] = []
    at = 0
    body = text.removeprefix("{").removesuffix("}").removeprefix("$")
    while at < len(body):
        match = _STEP.match(body, at)
        if match is None:
            raise BadPath(f"unrecognized character in action: {body[at:]!r}")
        at = match.end()
        if match["all"]:
            steps.append(("all", None))
        elif match["index"]:
            steps.append(("index", int(match["index"])))
        elif match["on"]:
            steps.append(("filter", (tuple(match["on"].split(".")), match["operator"] == "==", match["value"])))
        else:
            steps.append(("field", re.sub(r"\\(.)", r"\1", match["field"] or match["key"])))
    return tuple(steps)


def dotted(text: str) -> tuple[Step, ...]:
    """The steps of a path of names alone: scale's replicas, selectable fields."""
    return tuple(("field", name) for name in text.removeprefix(".").split("."))


def find(obj: Any, steps: tuple[Step, ...]) -> list[Any]:
    """Every value there, in order."""
    found = [obj]
    for kind, what in steps:
        found = [inner for value in found for inner in _step(value, kind, what)]
    return found


def _step(value: Any, kind: str, what: Any) -> list[Any]:
    if kind == "field":
        return [value[what]] if isinstance(value, dict) and what in value else []
    if kind == "all":
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if not isinstance(value, list):
        return []
    if kind == "index":
        return [value[what]] if -len(value) <= what < len(value) else []
    path, wanted, text = what
    below = tuple(("field", name) for name in path)
    return [each for each in value if any(spelled(inner) == text for inner in find(each, below)) is wanted]


def spelled(value: Any) -> str:
    """A scalar as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return go_float(value) if isinstance(value, float) else "" if value is None else str(value)
