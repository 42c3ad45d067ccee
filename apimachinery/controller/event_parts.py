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
    """The ObjectReference to it (client-go tools/reference). field_path: `spec.containers{name}`."""
    made: Object = {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        "name": objects.name(obj),
        "uid": objects.uid(obj),
        "resourceVersion": objects.resource_version(obj),
    }
    if namespace := objects.namespace(obj):
        made["namespace"] = namespace
    if field_path:
        made["fieldPath"] = field_path
    return made
