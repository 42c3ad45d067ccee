"""What every event holds, of whichever group: a name, and what it is about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.meta import objects

Object = dict[str, Any]


class EventNames:
    """Upstream's names: the object's, and the time in hexadecimal nanoseconds. Never one twice."""

    def __init__(self) -> None:
        self._stamp = 0

    def next(self, about: str, now: datetime) -> str:
        self._stamp = max(self._stamp + 1, int(now.timestamp() * 1e9))
        return f"{about}.{self._stamp:x}"


def reference(obj: Object, field_path: str = "") -> Object:
    """The ObjectReference to it (client-go tools/reference): what it has not is left out.

    field_path: `spec.containers{name}`.
    """
    made = {
        "kind": obj.get("kind"),
        "namespace": objects.namespace(obj),
        "name": objects.name(obj),
        "uid": objects.uid(obj),
        "apiVersion": obj.get("apiVersion"),
        "resourceVersion": objects.resource_version(obj),
        "fieldPath": field_path,
    }
    return {field: value for field, value in made.items() if value}


def bare(obj: Object, *, uid: str, api_version: str = "v1") -> Object:
    """A stand-in of it for events whose reference upstream's controllers make by hand: without a resourceVersion, in
    places without a uid or with another one, or without an apiVersion."""
    metadata = {"name": objects.name(obj), "namespace": objects.namespace(obj), "uid": uid}
    return {"apiVersion": api_version, "kind": obj.get("kind", ""), "metadata": metadata}
