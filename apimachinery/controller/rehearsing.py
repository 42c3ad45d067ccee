"""What a loop's next turn would do: the controller itself says so, on the same caches, with dry runs for writes.

A second instance is made for it, which hears of nothing. What it decides from listers it decides as the first one does;
what the first one remembers is lent to it (`Recalls`).
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from apimachinery.api.catalogue import Resource
from apimachinery.cache.informer import Informer, InformerFactory, Transform, without_managed_fields
from apimachinery.cache.lister import IndexFunction, Lister
from apimachinery.client.rehearsal import Rehearsal, Write, rehearsing
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.context import Runnable
from apimachinery.controller.loop import Controller
from apimachinery.controller.pictures import compute_picture, compute_rows
from apimachinery.meta.status import ApiError

Object = dict[str, Any]


class _StillLister(Lister):
    """The objects and indexes of another lister; an index that is there stays."""

    def __init__(self, real: Lister) -> None:
        self._objects, self._functions, self._indexes = real._objects, real._functions, real._indexes

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Nothing for an index that is there."""
        if name not in self._functions:
            super().add_index(name, function)


class _StillInformer(Informer):
    """Another informer's copy, which tells nobody anything."""

    def __init__(self, real: Informer) -> None:
        self.resource, self.lister, self._synced = real.resource, _StillLister(real.lister), real._synced

    def add_handler(self, *_: Any, **__: Any) -> None:
        """Nobody is told."""


class StillInformers(InformerFactory):
    """Another factory's informers, without their news."""

    def __init__(self, real: InformerFactory) -> None:
        self._real = real

    def get(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform = without_managed_fields,
    ) -> Informer:
        """The informer that runs, without its news."""
        found = self._real.get(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            transform=transform,
        )
        return _StillInformer(found)


@runtime_checkable
class Recalls(Protocol):
    """A controller whose memory another instance can take over."""

    def recall(self, other: Any) -> None:
        """Remember what `other`, of the same class, does; share nothing with it that either changes."""


@runtime_checkable
class Pictured(Protocol):
    """A controller that says itself what is desired and actual of a key: no object's fields do."""

    def picture(self, loop: str, key: str) -> Object | None:
        """As apimachinery.controller.pictures has it, without "object" where the key names none. None: ask the
        object."""


def loops_of(controller: Runnable) -> list[Controller]:
    """The loops of a controller."""
    return [each for each in vars(controller).values() if isinstance(each, Controller)]


async def rehearse(still: Runnable, real: Runnable, loop: str, key: str, kind: Informer | None) -> Object:
    """What the turn of `key` in a loop of `real` would do; changes nothing.

    still: another instance, made with `StillInformers`. kind: the informer of what the keys name, if they name objects
    of one kind. Returns picture, writes, events, again (seconds or None) and error (or "").
    """
    if isinstance(still, Recalls):
        still.recall(real)
    picture = still.picture(loop, key) if isinstance(still, Pictured) else None
    controller = next(each for each in loops_of(still) if each.name == loop)
    again, error = None, ""
    with rehearsing() as tried:
        try:
            again = await controller.reconcile(key)
        except (ApiError, ApiUnreachable) as failed:
            error = getattr(failed, "message", "") or str(failed)
        except Exception as failed:
            error = f"{type(failed).__name__}: {failed}"
    if picture is None:
        picture = _picture_of(kind, key)
    picture["rows"] = picture["rows"] or [list(row) for row in compute_rows(tried.writes)]
    return {"picture": picture, **_document(tried), "again": again, "error": error}


def _picture_of(kind: Informer | None, key: str) -> Object:
    if kind is None:
        return {"rows": []}
    obj = kind.lister.get_by_key(key)
    return compute_picture(obj) if obj is not None else {"object": None, "rows": []}


def _document(tried: Rehearsal) -> Object:
    events = [{"type": kind, "reason": reason, "message": message} for kind, reason, message in tried.events]
    return {"writes": [_written(write) for write in tried.writes], "events": events}


def _written(write: Write) -> Object:
    return {
        "method": write.method,
        "path": write.path,
        "body": write.body,
        "before": write.before,
        "after": write.after,
        "error": write.error,
        "does": write.does,
    }
