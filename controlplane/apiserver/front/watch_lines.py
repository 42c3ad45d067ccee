"""The lines of a watch in the shape its client asked for: the object, its row of a Table, or its metadata; in JSON, or
as messages of protobuf."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.api.catalogue import Resource
from apimachinery.kit import go_json
from apimachinery.meta import status
from controlplane.apiserver.front.negotiate import JSON, Accepted
from controlplane.apiserver.front.shapes import partial
from controlplane.apiserver.registry.collection import Attributes
from controlplane.apiserver.registry.conversion import converted_all, served_as_stored
from controlplane.apiserver.registry.watch import bookmark
from controlplane.apiserver.storage.cache_entries import WatchEvent
from controlplane.apiserver.tables.render import Tables

Object = dict[str, Any]
Event = WatchEvent[Attributes]

LENGTH = 4
"""Bytes before each message of protobuf, which say how long it is (big-endian)."""


class Lines:
    """For one watch. `at_once`: nobody has to be asked for a conversion, and `chunk` may be used."""

    def __init__(
        self, resource: Resource, stored: Resource, wanted: Accepted, tables: Tables, include_object: str
    ) -> None:
        self.resource, self._wanted, self._tables, self._include = resource, wanted, tables, include_object
        self.at_once = served_as_stored(resource, stored)
        self._shape = f"{wanted.media} {wanted.kind} {wanted.version} {include_object}"
        self._heads = wanted.kind == "Table"
        self._as_stored = wanted.media == JSON and not wanted.kind
        self._written = _json_line
        if wanted.media != JSON:
            from controlplane.apiserver.front.protobuf_encode import watch_event  # its tables cost 10 ms

            self._written = watch_event

    def error(self, error: status.ApiError) -> bytes:
        return self._written("ERROR", error.to_status())

    def chunk(self, event: Event) -> bytes:
        """The line as a chunk of HTTP/1.1; encoded once for all watches of that shape."""
        if event.entry is None or self._heads:
            return _framed(self._line(event))  # this watch's own: a bookmark, or with the columns
        return event.encoded(self._shape, self._encode)

    def _encode(self, event: Event) -> bytes:
        return _framed(self._line(event))

    async def lines(self, events: list[Event]) -> list[bytes]:
        """The same lines, without framing. Raises ApiError when a webhook does not convert what it should."""
        if self.at_once:
            return [self._line(event) for event in events]
        objects = [orjson.loads(event.entry.served) for event in events if event.entry is not None]
        shown = iter(await converted_all(objects, self.resource))
        return [self._line(event, next(shown) if event.entry is not None else None) for event in events]

    def _line(self, event: Event, obj: Object | None = None) -> bytes:
        """obj: what to show, if it is not what is stored."""
        if event.entry is None:
            return self._bookmark(event)
        if obj is None:
            if self._as_stored:
                return event.frame
            obj = orjson.loads(event.entry.served)
        if self._wanted.kind == "Table":
            obj = self._table([obj], obj["metadata"]["resourceVersion"])
        elif self._wanted.kind:
            obj = partial(obj, self._wanted.version)
        return self._written(event.type, obj)

    def _bookmark(self, event: Event) -> bytes:
        kind, version = self.resource.kind, self.resource.api_version
        if self._wanted.kind == "Table":
            table = self._table([], str(event.revision))
            metadata = orjson.loads(bookmark(version, kind, event))["metadata"]
            about = partial({"metadata": metadata}, self._wanted.version)
            table["rows"] = [{"cells": [], "object": about}]
            return self._written("BOOKMARK", table)
        if self._wanted.kind:
            kind, version = self._wanted.kind, f"meta.k8s.io/{self._wanted.version}"
        return self._written("BOOKMARK", orjson.loads(bookmark(version, kind, event)))

    def _table(self, objects: list[Object], revision: str) -> Object:
        table = self._tables.table(self.resource, objects, self._wanted.version, self._include)
        if not self._heads:
            table["columnDefinitions"] = None
        self._heads = False
        return {**table, "metadata": {"resourceVersion": revision}}


def _json_line(kind: str, obj: Object) -> bytes:
    return go_json.encode({"type": kind, "object": obj}) + b"\n"


def _framed(line: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(line), line)
