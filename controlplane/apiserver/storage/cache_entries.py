"""What the watch cache holds and hands out: versions of objects and the events between them, each encoded once."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .interface import Revision
from .served import renumbered

T = TypeVar("T")

_UNSET = object()
_EVENT_BYTES = 300  # of an event itself


class Entry(Generic[T]):
    """One version of one object, immutable. `served` is its JSON as clients get it, with resourceVersion."""

    __slots__ = ("_attributes", "key", "parse", "revision", "served")

    def __init__(self, key: str, revision: Revision, served: bytes, parse: Callable[[bytes], T]) -> None:
        self.key = key
        self.revision = revision
        self.served = served
        self.parse = parse
        self._attributes: object = _UNSET

    @property
    def attributes(self) -> T:
        """What the cacher's `parse` makes of `served`: computed when first asked for, then kept with the version."""
        if self._attributes is _UNSET:
            self._attributes = self.parse(self.served)
        return self._attributes  # type: ignore[return-value]


class WatchEvent(Generic[T]):
    """One line of a watch, shared by all watches that send it.

    `type` is ADDED, MODIFIED, DELETED or BOOKMARK. `entry` is None for a BOOKMARK, which carries only `revision`; for
    DELETED it is the last state with the resourceVersion of its removal. `previous`, for MODIFIED and DELETED, is what
    was there before. `initial_end` marks the BOOKMARK that follows the initial state of a watch (KEP-3157)."""

    __slots__ = ("_encoded", "entry", "initial_end", "previous", "revision", "type", "warm")

    def __init__(
        self,
        kind: str,
        entry: Entry[T] | None,
        revision: Revision,
        initial_end: bool = False,
        previous: Entry[T] | None = None,
    ) -> None:
        self.type = kind
        self.entry = entry
        self.previous = previous
        self.revision = revision
        self.initial_end = initial_end
        self.warm = False
        self._encoded: dict[Hashable, bytes] | None = None

    @property
    def frame(self) -> bytes:
        """The event as a line of JSON. Not for a BOOKMARK, whose object is of the client's kind: ValueError."""
        if self.entry is None:
            raise ValueError("a bookmark has no object")
        return b'{"type":"%b","object":%b}\n' % (self.type.encode(), self.entry.served)

    def encoded(self, shape: Hashable, encode: Callable[["WatchEvent[T]"], bytes]) -> bytes:
        """What `encode` makes of it in that shape: once for all watches that send it while it is new (warm)."""
        if self._encoded is not None and (known := self._encoded.get(shape)) is not None:
            return known
        made = encode(self)
        if self.warm:
            if self._encoded is None:
                self._encoded = {}
            self._encoded[shape] = made
        return made

    def cool(self) -> None:
        """Everybody has been told: what was encoded is let go."""
        self.warm = False
        self._encoded = None


class CacheEvent(Generic[T]):
    """One change of one object: from `previous` (None: it did not exist) to `current` (None: removed)."""

    __slots__ = ("_added", "_deleted", "_modified", "_whole", "current", "key", "parse", "previous", "revision", "warm")

    def __init__(
        self,
        key: str,
        revision: Revision,
        current: Entry[T] | None,
        previous: Entry[T] | None,
        parse: Callable[[bytes], T],
    ) -> None:
        self.key = key
        self.revision = revision
        self.current = current
        self.previous = previous
        self.parse = parse
        self.warm = False
        self._added: WatchEvent[T] | None = None
        self._modified: WatchEvent[T] | None = None
        self._deleted: WatchEvent[T] | None = None
        self._whole: WatchEvent[T] | None = None  # of those, what a watch of everything is told

    @property
    def size(self) -> int:
        """Bytes that only it keeps alive, about: what is current is the cache's, or the next event's."""
        return _EVENT_BYTES + (len(self.previous.served) if self.previous is not None else 0)

    def seen_by(self, selects: Callable[[Entry[T]], bool] | None) -> WatchEvent[T] | None:
        """What a watch with that selection is told: an object that begins to match is ADDED to it, one that ceases to
        is DELETED. None: nothing."""
        if selects is None and self._whole is not None:
            return self._whole
        seen = self._seen_by(selects)
        if selects is None:
            self._whole = seen
        return seen

    def _seen_by(self, selects: Callable[[Entry[T]], bool] | None) -> WatchEvent[T] | None:
        now = self.current is not None and (selects is None or selects(self.current))
        before = self.previous is not None and (selects is None or selects(self.previous))
        if now and before:
            if self._modified is None:
                self._modified = self._new("MODIFIED", self.current, self.previous)
            return self._modified
        if now:
            if self._added is None:
                self._added = self._new("ADDED", self.current, None)
            return self._added
        if before:
            if self._deleted is None:
                self._deleted = self._new("DELETED", self._last_state(), self.previous)
            return self._deleted
        return None

    def cool(self) -> None:
        """As WatchEvent.cool, of all that it was seen as."""
        self.warm = False
        for seen in (self._added, self._modified, self._deleted):
            if seen is not None:
                seen.cool()

    def _new(self, kind: str, entry: Entry[T] | None, previous: Entry[T] | None) -> WatchEvent[T]:
        made = WatchEvent(kind, entry, self.revision, previous=previous)
        made.warm = self.warm
        return made

    def _last_state(self) -> Entry[T]:
        assert self.previous is not None
        return Entry(self.key, self.revision, renumbered(self.previous.served, self.revision), self.parse)
