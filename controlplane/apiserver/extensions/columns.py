"""Tables of custom resources: Name, then spec.versions[*].additionalPrinterColumns, or Age
(apiextensions-apiserver/pkg/registry/customresource/tableconvertor)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from apimachinery.meta import times
from controlplane.apiserver.cel.operators import go_float
from controlplane.apiserver.extensions.paths import BadPath, Step, find, parse, spelled
from controlplane.apiserver.tables.columns import NAME_COLUMN

Object = dict[str, Any]

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_AGE_SAYS = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


class Columns:
    """The columns of one version."""

    def __init__(self, declared: list[Object] | None) -> None:
        columns = declared or [_AGE]
        self._columns: list[tuple[str, tuple[Step, ...]]] = []
        self.definitions: list[Object] = [NAME_COLUMN]
        for column in columns:
            try:
                steps = parse(column.get("jsonPath") or "")
            except BadPath:
                break  # upstream shows those before it
            said = column.get("description") or (_AGE_SAYS if column is _AGE else "")
            said = said or f"Custom resource definition column (in JSONPath format): {column.get('jsonPath')}"
            self._columns.append((column["type"], steps))
            self.definitions.append(
                {
                    "name": column["name"],
                    "type": column["type"],
                    "format": column.get("format") or "",
                    "description": said,
                    "priority": column.get("priority") or 0,
                }
            )

    def cells(self, obj: Object, now: datetime) -> list[Any]:
        """One value a column; None where the object has none, or one of another type."""
        return [obj["metadata"]["name"], *(_cell(kind, find(obj, steps), now) for kind, steps in self._columns)]


def _cell(kind: str, found: list[Any], now: datetime) -> Any:
    if not found:
        return None
    value = found[0]  # the first of several
    if kind == "string":
        return _text(value)
    if kind == "integer":
        return int(value) if type(value) in (int, float) else None
    if kind == "number":
        return value if type(value) in (int, float) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        if not isinstance(value, str):
            return None
        try:
            return times.human_duration((now - times.parse(value)).total_seconds())
        except ValueError:
            return "<invalid>"
    return spelled(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return go_float(value)
    return (
        json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        if isinstance(value, dict | list)
        else "<no value>"
        if value is None
        else spelled(value)
    )
