"""An informer's copy with what we wrote, or have decided, but the watch has not shown yet (client-go MutationCache).

Who decides from a copy must see its own last decisions, or it makes them twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.meta import objects

from .informer import Informer

Object = dict[str, Any]


class Overlay:
    """Newer versions of some of an informer's objects, each until the watch has caught up with it.

    Versions are etcd revisions, which grow; upstream's volume controllers compare them so as well.
    """

    def __init__(self, informer: Informer) -> None:
        self._lister = informer.lister
        self._ours: dict[str, Object] = {}
        informer.add_handler(self._seen, lambda _, new: self._seen(new), self._gone)

    def put(self, obj: Object) -> None:
        """Show `obj` from now on: an answer to an update, or an assumption made from the version it carries.

        Nothing is shown that the watch has seen go, or has seen newer.
        """
        held = self._lister.get_by_key(objects.key(obj))
        if held is None or _revision(held) > _revision(obj):
            return
        self._ours[objects.key(obj)] = obj

    def restore(self, key: str) -> None:
        """Show what the informer has: the assumption did not come true."""
        self._ours.pop(key, None)

    def get(self, key: str) -> Object | None:
        """The newest known version."""
        return self._ours.get(key) or self._lister.get_by_key(key)

    def newest(self, found: Iterable[Object]) -> list[Object]:
        """The same objects, each in its newest known version."""
        if not self._ours:
            return [*found]
        return [self._ours.get(objects.key(obj), obj) for obj in found]

    def _seen(self, obj: Object) -> None:
        ours = self._ours.get(objects.key(obj))
        if ours is not None and _revision(obj) >= _revision(ours):
            del self._ours[objects.key(obj)]

    def _gone(self, obj: Object) -> None:
        self._ours.pop(objects.key(obj), None)


def _revision(obj: Object) -> int:
    return int(objects.resource_version(obj) or 0)
