"""What becomes of an object by what is known of its owners. Pure (pkg/controller/garbagecollector)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from controlplane.controllers.ownership_graph import FOREGROUND, ORPHAN

Object = dict[str, Any]
Coordinates = tuple[str, str, str, str, str]
"""What an owner is looked for by: API version, kind, name, uid, namespace (empty for those outside). An owner that is
not there under wrong ones is still there under others."""

REMEMBERED_ABSENT = 500


def metadata_only(obj: Object) -> Object:
    """An informer transform: keep of an object what the graph reads."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")
    return {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        "metadata": {key: metadata[key] for key in kept if key in metadata},
    }


@dataclass(slots=True)
class Owners:
    """An object's owner references, sorted: the owner exists, is gone, or waits in foreground deletion."""

    solid: list[Object] = field(default_factory=list)
    dangling: list[Object] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)


def plan_deletion(owners: Owners, *, has_dependents: bool, finalizers: frozenset[str]) -> str | None:
    """Return how to delete an object: Foreground, Background or Orphan; None when an owner keeps it."""
    if owners.solid or not (owners.dangling or owners.waiting):
        return None
    if owners.waiting and has_dependents:
        # The owner waits for this one, so this one must wait for its own.
        return "Foreground"
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"


def coordinates(reference: Object) -> tuple[str, str, str, str]:
    """The coordinates of the owner that a reference names, but for the namespace."""
    return reference.get("apiVersion", ""), reference.get("kind", ""), reference.get("name", ""), reference["uid"]


class Absent:
    """Owners that were looked for and not found. A uid never comes back, so that may be remembered."""

    def __init__(self) -> None:
        self._known: OrderedDict[Coordinates, None] = OrderedDict()

    def holds(self, reference: Object, namespace: str) -> bool:
        """Whether it is known that there is no such owner for an object of this namespace."""
        return any((*coordinates(reference), each) in self._known for each in ("", namespace))

    def note(self, owner: Coordinates) -> None:
        """There is no such owner."""
        self._known[owner] = None
        if len(self._known) > REMEMBERED_ABSENT:
            self._known.popitem(last=False)

    def copy(self) -> Absent:
        """Another that remembers the same, and learns by itself."""
        other = Absent()
        other._known = OrderedDict(self._known)
        return other
