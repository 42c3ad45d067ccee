"""Since when what endpoints list is true: the annotation by which kube-proxy tells how long a change took to reach the
kernel (network_programming_duration_seconds; EndpointsLastChangeTriggerTime in k8s.io/api/core/v1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery.meta import objects, pods, times
from apimachinery.meta.endpoints import LAST_CHANGE

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What a Service and its pods look like. since: the earliest of the changes since the look before, an RFC 3339
    text; "" when there were none. made, turned: when the Service was made, and when each pod became ready or stopped
    being so."""

    since: str
    made: str
    turned: Mapping[str, str]


class TriggerTimes:
    """What each Service looked like when its endpoints were right last, by key."""

    def __init__(self) -> None:
        self._kept: dict[str, Look] = {}

    def look(self, service: Object, selected: Iterable[Object]) -> Look:
        """Compare with what was kept; without that, the Service's age is told. Cost: a look at each pod; times are
        parsed where they changed."""
        made = str(service["metadata"].get("creationTimestamp") or "")
        turned = {objects.name(pod): _turned(pod) for pod in selected}
        kept = self._kept.get(objects.key(service))
        if kept is None:
            return Look(made, made, turned)
        changes = [_later(made, kept.made), *(_later(text, kept.turned.get(pod, "")) for pod, text in turned.items())]
        moments = [moment for moment in changes if moment is not None]
        return Look(times.rfc3339(min(moments)) if moments else "", made, turned)

    def keep(self, key: str, look: Look) -> None:
        """What `look` saw is written: until then it is no less late."""
        self._kept[key] = look

    def forget(self, key: str) -> None:
        """The Service is gone."""
        self._kept.pop(key, None)

    def recall(self, other: TriggerTimes) -> None:
        """Know what `other` knows; what either learns from now on is its own."""
        self._kept = dict(other._kept)


def with_last_change(metadata: Object, last_change: str) -> Object:
    """Return the metadata of what is written. last_change: Look.since; without one the annotation goes."""
    notes = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_CHANGE}
    if last_change:
        notes[LAST_CHANGE] = last_change
    rest = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**rest, "annotations": notes} if notes else rest


def _turned(pod: Object) -> str:
    return str((pods.condition(pod, "Ready") or {}).get("lastTransitionTime") or "")


def _later(text: str, before: str) -> datetime | None:
    """Return the moment that `text` names when it comes after `before`."""
    moment = _moment(text) if text != before else None
    if moment is None:
        return None
    known = _moment(before)
    return moment if known is None or moment > known else None


def _moment(text: str) -> datetime | None:
    try:
        return times.parse(text)
    except ValueError:
        return None
