"""Table objects (meta.k8s.io): columns and rows, for every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apimachinery.api.catalogue import Resource
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from apimachinery.meta.paths import Path, invalid
from controlplane.apiserver.registry.kinds import DefinedResource

if TYPE_CHECKING:
    from controlplane.apiserver.tables.columns import Printer

Object = dict[str, Any]

_CREATED = {
    "name": "Created At",
    "type": "date",
    "format": "",
    "description": "CreationTimestamp is a timestamp representing the server time when this object was created.",
    "priority": 0,
}


class Tables:
    """Renders objects as kubectl prints them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def check(self, include: str) -> None:
        """Raises ApiError 400 for an includeObject that there is not."""
        if include not in ("", "None", "Metadata", "Object"):
            problem = invalid(Path("includeObject"), include, "must be 'Metadata', 'Object', 'None', or empty")
            raise status.bad_request(f"Unable to convert to Table as requested: {problem}")

    def ordered(self, resource: Resource) -> bool:
        """Whether the rows have an order of their own, so that they can only be rendered all together."""
        printer = _printer(resource)
        return printer is not None and printer.order is not None and not isinstance(resource, DefinedResource)

    def table(self, resource: Resource, objects: list[Object], version: str, include: str) -> Object:
        """A Table without ListMeta. include: None, Metadata (the default) or Object. Raises ApiError 400."""
        from controlplane.apiserver.tables.columns import NAME_COLUMN

        self.check(include)
        printer = _printer(resource)
        now = self._clock.now()
        if isinstance(resource, DefinedResource):
            columns = resource.rules.column_definitions
            cells = [resource.rules.cells(obj, now) for obj in objects]
        elif printer is None:
            columns = [NAME_COLUMN, _CREATED]
            cells = [[obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")] for obj in objects]
        else:
            if printer.order is not None:
                objects = sorted(objects, key=printer.order)
            columns = [column.definition() for column in printer.columns]
            cells = [printer.cells(obj, now) for obj in objects]
        return _rendered(objects, columns, cells, version, include, printer.conditions if printer else None)

    def scale(self, scale: Object, version: str, include: str) -> Object:
        """The Table of a Scale, of whatever kind it is. version, include and errors: as of `table`."""
        from controlplane.apiserver.tables.autoscaling import PRINTERS

        self.check(include)
        printer = PRINTERS["autoscaling", "Scale"]
        columns, cells = [column.definition() for column in printer.columns], printer.cells(scale, self._clock.now())
        table = _rendered([scale], columns, [cells], version, include)
        return {**table, "metadata": {"resourceVersion": scale["metadata"].get("resourceVersion", "")}}


def _rendered(
    objects: list[Object],
    columns: list[Object],
    cells: list[list[Any]],
    version: str,
    include: str,
    conditions: Callable[[Object], list[Object]] | None = None,
) -> Object:
    rows: list[Object] = []
    for obj, row in zip(objects, cells, strict=True):
        entry: Object = {"cells": row, "object": None}
        if conditions is not None and (ended := conditions(obj)):
            entry["conditions"] = ended
        if include == "Object":
            entry["object"] = obj
        elif include != "None":
            entry["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": f"meta.k8s.io/{version}",
                "metadata": obj["metadata"],
            }
        rows.append(entry)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    }


def _printer(resource: Resource) -> Printer | None:
    # 3 ms, for a server that no person looks at.
    from controlplane.apiserver.tables.printers import PRINTERS

    return PRINTERS.get((resource.group, resource.kind))
