"""What the watch cache holds and hands out: versions of objects and the events between them, each encoded once."""

from collections.abc import Callable
from typing import Generic, TypeVar

from .interface import Revision
from .served import with_resource_version

T = TypeVar("T")

_UNSET = object()


class Entry(Generic[T]):
    """One version of one object, immutable. `served` is its JSON as clients get it, with resourceVersion."""

    __slots__ = ("_attributes", "_parse", "key", "revision", "served")

    def __init__(self, key: str, revision: Revision, served: bytes, parse: Callable[[bytes], T]) -> None:
        self.key = key
        self.revision = revision
        self.served = served
        self._parse = parse
        self._attributes: object = _UNSET

    @property
    def attributes(self) -> T:
        """What the cacher's `parse` makes of `served`: computed when first asked for, then kept with the version."""
        if self._attributes is _UNSET:
            self._attributes = self._parse(self.served)
        return self._attributes  # type: ignore[return-value]


class WatchEvent(Generic[T]):
    """One line of a watch, shared by all watches that send it.

    `type` is ADDED, MODIFIED, DELETED or BOOKMARK. `entry` is None for a BOOKMARK, which carries only `revision`; for
    DELETED it is the last state with the resourceVersion of its removal. `initial_end` marks the BOOKMARK that follows
    the initial state of a watch (KEP-3157)."""

    __slots__ = ("_frame", "entry", "initial_end", "revision", "type")

    def __init__(self, kind: str, entry: Entry[T] | None, revision: Revision, initial_end: bool = False) -> None:
        self.type = kind
        self.entry = entry
        self.revision = revision
        self.initial_end = initial_end
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The event as a line of JSON; encoded once however many watches send it. Not for a BOOKMARK, whose object is
        of the client's kind: ValueError."""
        if self._frame is None:
            if self.entry is None:
                raise ValueError("a bookmark has no object")
            self._frame = b'{"type":"%b","object":%b}\n' % (self.type.encode(), self.entry.served)
        return self._frame


class CacheEvent(Generic[T]):
    """One change of one object: from `previous` (None: it did not exist) to `current` (None: removed)."""

    __slots__ = ("_added", "_deleted", "_modified", "_removed_value", "current", "key", "parse", "previous", "revision")

    def __init__(
        self,
        key: str,
        revision: Revision,
        current: Entry[T] | None,
        previous: Entry[T] | None,
        removed_value: bytes | None,
        parse: Callable[[bytes], T],
    ) -> None:
        self.key = key
        self.revision = revision
        self.current = current
        self.previous = previous
        self.parse = parse
        self._removed_value = removed_value
        self._added: WatchEvent[T] | None = None
        self._modified: WatchEvent[T] | None = None
        self._deleted: WatchEvent[T] | None = None

    @property
    def size(self) -> int:
        """Bytes it keeps alive, about."""
        return (len(self.current.served) if self.current else 0) + (len(self.previous.served) if self.previous else 0)

    def seen_by(self, selects: Callable[[Entry[T]], bool] | None) -> WatchEvent[T] | None:
        """What a watch with that selection is told: an object that begins to match is ADDED to it, one that ceases to
        is DELETED. None: nothing."""
        now = self.current is not None and (selects is None or selects(self.current))
        before = self.previous is not None and (selects is None or selects(self.previous))
        if now and before:
            if self._modified is None:
                self._modified = WatchEvent("MODIFIED", self.current, self.revision)
            return self._modified
        if now:
            if self._added is None:
                self._added = WatchEvent("ADDED", self.current, self.revision)
            return self._added
        if before:
            if self._deleted is None:
                self._deleted = WatchEvent("DELETED", self._last_state(), self.revision)
            return self._deleted
        return None

    def _last_state(self) -> Entry[T]:
        assert self.previous is not None
        # The stored bytes of a removed object come with the change and are quicker to number than the served ones.
        value = self.previous.served if self._removed_value is None else self._removed_value
        return Entry(self.key, self.revision, with_resource_version(value, self.revision), self.parse)
