"""What the rules of one schema may cost together (apiextensions/validation/cel_validation.go)."""

from __future__ import annotations

from apimachinery.meta.paths import Path, Problem, forbidden
from controlplane.apiserver.cel.estimate import MOST

RULE_LIMIT = 10_000_000
"""Cost units of one rule on all the nodes it stands for."""
SCHEMA_LIMIT = 100_000_000
"""Of all rules of a schema."""
_NAMED = 4
_SHARE = SCHEMA_LIMIT // 100


class Total:
    """The sum, and those that contribute most to it."""

    def __init__(self) -> None:
        self._sum = 0
        self._dearest: list[tuple[int, Path]] = []

    def observe(self, path: Path, cost: int) -> None:
        """Add a rule."""
        self._sum = min(self._sum + cost, MOST)
        if cost >= _SHARE:
            ordered = sorted([*self._dearest, (cost, path)], key=lambda each: -each[0])
            self._dearest = ordered[:_NAMED]

    def problems(self, path: Path) -> list[Problem]:
        """Why the schema is refused, if all its rules together are too dear."""
        if self._sum <= SCHEMA_LIMIT:
            return []
        contributed = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        return [
            *(forbidden(each, contributed) for _, each in self._dearest),
            forbidden(path, exceeded(name, self._sum, SCHEMA_LIMIT)),
        ]


def exceeded(name: str, cost: int, limit: int) -> str:
    """By how much. Beyond a hundredfold the figure says nothing: the rule is quadratic or worse."""
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, "
        "and maxLength where arrays, maps, and strings are declared)"
    )


def multiplied(count: int | None, factor: int | None) -> int | None:
    """None: without bound."""
    return None if count is None or factor is None else min(count * max(factor, 0), MOST)
