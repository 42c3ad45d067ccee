"""The contract of a store: keys in one global order of revisions, every write a compare-and-swap, watches without gaps.

Revisions. A store has ONE counter. Every successful write takes the next number, which is the object's
resourceVersion; the number never goes back, not even over a restart. An empty store is at revision 1 (0 is free to mean
"any" in the API). Worked example:

    create(/registry/pods/a)          -> 2
    create(/registry/minions/n)       -> 3
    update(/registry/pods/a, exp. 2)  -> 4
    delete(/registry/pods/a, exp. 4)  -> 5
    list(/registry/pods/)             -> items [], revision 5
    list(/registry/pods/, revision=3) -> items [a at mod_revision 2], revision 3
    watch(/registry/pods/, 2)         -> PUT a at 4, DELETE a at 5, ...
    compact(4); watch(…, 3)           -> Compacted;  watch(…, 4) -> DELETE a at 5

Values are JSON bytes WITHOUT metadata.resourceVersion (the store only knows the number once the bytes are written);
`served.py` puts it in on the way out. Keys are those of `keys.py`. Prefixes end with "/" (or are "", everything).

All methods belong to one event loop. They may be cancelled; a cancelled write may or may not have happened.
Source of the semantics: etcd v3 API and upstream's `staging/src/k8s.io/apiserver/pkg/storage/interfaces.go`.
"""

from collections.abc import Sequence
from enum import Enum
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from msgspec import Struct

Revision: TypeAlias = int


class Stored(Struct, frozen=True):
    """One version of one object. `mod_revision` is the revision of the write that made it."""

    key: str
    value: bytes
    mod_revision: Revision


class ListPage(Struct, frozen=True):
    """Items in key order, as they were at `revision`. `more`: keys follow; `remaining`: how many (0 without more)."""

    items: Sequence[Stored]
    revision: Revision
    more: bool = False
    remaining: int = 0


class ChangeType(Enum):
    """CREATE and UPDATE carry the new value, DELETE carries the last one in `prev_value`, PROGRESS carries nothing but
    says that every change up to its revision has been delivered."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    PROGRESS = "PROGRESS"


class Change(Struct, frozen=True):
    """One write as seen by a watch. `prev_value` is the value it replaced; it is None for CREATE and PROGRESS (and for
    a change whose predecessor has been compacted away while the watch lagged)."""

    type: ChangeType
    key: str
    value: bytes
    prev_value: bytes | None
    revision: Revision


class StorageError(Exception):
    """Base of everything a store raises on purpose. said: why etcd refused a request, in its own sentence, where
    upstream's clients are told it ("etcdserver: mvcc: database space exceeded"); "" otherwise."""

    said = ""


class KeyExists(StorageError):
    """create found an object under the key; nothing was written."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key exists: {key}")
        self.key = key


class KeyMissing(StorageError):
    """update or delete found no object under the key; nothing was written."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key not found: {key}")
        self.key = key


class RevisionMismatch(StorageError):
    """The object is not at the expected revision; nothing was written. `current` is what is there, so that the caller
    can decide again without reading."""

    def __init__(self, key: str, expected: Revision, current: Stored) -> None:
        super().__init__(f"{key} is at revision {current.mod_revision}, not {expected}")
        self.key = key
        self.expected = expected
        self.current = current


class Compacted(StorageError):
    """History before `oldest` is gone: list or watch again from now (the API's 410 Expired). `oldest`: 0 if unknown."""

    def __init__(self, requested: Revision, oldest: Revision) -> None:
        super().__init__(f"too old resource version: {requested} ({oldest})")
        self.requested = requested
        self.oldest = oldest


class FutureRevision(StorageError):
    """The asked revision has not happened yet (the API's "Too large resource version")."""

    def __init__(self, requested: Revision, current: Revision) -> None:
        super().__init__(f"Too large resource version: {requested}, current: {current}")
        self.requested = requested
        self.current = current


class Unavailable(StorageError):
    """The store does not answer; a write that raises this has NOT happened. Trying again later is safe."""


class Unreadable(StorageError):
    """What is stored cannot be made sense of, and asking again does not help. why: for who asked for that key alone."""

    def __init__(self, text: str, why: str = "") -> None:
        super().__init__(text)
        self.why = why or text


class Unwritable(StorageError):
    """The value cannot be brought into the form in which it is to be stored; nothing was written."""


class OutcomeUnknown(StorageError):
    """No answer to a write: it may or may not have happened, and may still happen. Read before deciding again."""


class Watch(Protocol):
    """Changes under one prefix in revision order, each exactly once, until closed.

    Iteration raises Compacted when history that is still owed has been compacted, Unavailable when the store is closed.
    A reader that falls behind loses nothing: it is continued from history."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Change: ...

    def request_progress(self, revision: Revision) -> None:
        """Makes the watch yield a change or a PROGRESS of at least `revision`, as soon as the store has got there."""
        ...

    async def aclose(self) -> None:
        """Ends the watch and frees what it holds; idempotent."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Storage(Protocol):
    """A store of JSON values under keys; see the module for the semantics shared by all methods."""

    async def create(self, key: str, value: bytes, ttl: int | None = None) -> Revision:
        """Writes a new object. ttl: seconds (>= 1) after which the store deletes it by itself, at the earliest.
        Raises KeyExists, Unavailable, OutcomeUnknown."""
        ...

    async def get(self, key: str, *, revision: Revision = 0) -> Stored | None:
        """The newest version of the object (revision 0; linearizable) or the one of exactly `revision`; None when there
        is, or was, none. Raises Unavailable; Compacted and FutureRevision for a named revision."""
        ...

    async def list(self, prefix: str, *, revision: Revision = 0, limit: int = 0, start_after: str = "") -> ListPage:
        """All objects under `prefix` whose key is greater than `start_after`, at most `limit` (0: all), as of one
        snapshot: the newest (revision 0) or exactly `revision`. Raises Compacted, FutureRevision, Unavailable."""
        ...

    async def update(self, key: str, value: bytes, expected_revision: Revision, ttl: int | None = None) -> Revision:
        """Replaces the object if it is at `expected_revision`. ttl as in create; None removes an earlier one.
        Raises RevisionMismatch, KeyMissing, Unavailable, OutcomeUnknown."""
        ...

    async def delete(self, key: str, expected_revision: Revision) -> Revision:
        """Removes the object if it is at `expected_revision`; returns the revision of the removal.
        Raises RevisionMismatch, KeyMissing, Unavailable, OutcomeUnknown."""
        ...

    def watch(self, prefix: str, from_revision: Revision) -> Watch:
        """Every change under `prefix` with a revision greater than `from_revision` (so a list's revision continues it
        without gap); a revision in the future is waited for. 0 means from the beginning of history, which a compacted
        store answers with Compacted."""
        ...

    async def current_revision(self) -> Revision:
        """The revision of the newest write (linearizable): nothing acknowledged before the call is newer."""
        ...

    @property
    def seen_revision(self) -> Revision:
        """The newest revision this process has heard of, without asking; at most a moment behind `current_revision`."""
        ...

    async def compact(self, revision: Revision) -> None:
        """Forgets history: list at and watch from a revision below `revision` raise Compacted from now on. Newest
        versions stay. An already compacted revision is a no-op. Raises FutureRevision, Unavailable."""
        ...

    async def healthy(self) -> None:
        """Returns when the store can be read and written; raises Unavailable with the reason otherwise."""
        ...

    async def size(self) -> int:
        """The bytes that the store takes on its disk, with what is free inside of it. Raises Unavailable."""
        ...

    async def close(self) -> None:
        """Finishes the writes in flight, ends all watches, frees everything. Idempotent."""
        ...
