"""The embedded store: one SQLite file, no server.

Writes are grouped: whatever has been asked for while the last commit was on its way to the disk becomes the next
transaction. Statements run on the event loop's thread and only COMMIT, which waits for the disk, on the writer thread:
sqlite3 releases the interpreter lock in every statement, and a thread that does so beside a busy event loop gets it
back only after the switch interval. 64 creates took 0.6 ms of statements on their own thread next to an idle loop and
554 ms next to a busy one. Reads are on connections of their own (WAL: they neither wait for the writer nor hold it up).

The file belongs to one process (a lock file beside it says so); `sqlite3 FILE` may read it at any time.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from apimachinery.kit.clock import Clock, SystemClock

from . import sqlite_tables as tables
from .hub import HubWatch, WatchHub
from .interface import (
    Change,
    Compacted,
    FutureRevision,
    KeyMissing,
    ListPage,
    OutcomeUnknown,
    Revision,
    RevisionMismatch,
    StorageError,
    Stored,
    Unavailable,
)

log = logging.getLogger(__name__)

# A write: tries itself at the revision it is given; None when it needs no revision.
_Write: TypeAlias = Callable[[Revision], Change | StorageError | None]

_Answer: TypeAlias = tuple[asyncio.Future[Revision], Revision | StorageError]

# Bounds of what is done in one go on the event loop: rows of a list, revisions of history.
_LIST_CHUNK = 500
_HISTORY_CHUNK = 1000
_PRUNE_CHUNK = 200

# Seconds that a write waits for somebody else's lock on the file (a person with the sqlite3 shell).
_LOCK_TIMEOUT = 5.0
_EXPIRY_PERIOD = 1.0


class SqliteStorage:
    """interface.Storage in a file. Make it with `open`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._lock = _lock_file(path)
        try:
            self._writer = tables.open_connection(str(path))
            tables.create_schema(self._writer)
            self._getter = tables.open_connection(str(path))
            self._lister = tables.open_connection(str(path))
        except sqlite3.Error as error:
            os.close(self._lock)
            raise Unavailable(f"{path}: {error}") from error
        self._listing = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-commit")
        self._hub = WatchHub(tables.read_revision(self._writer))
        self._compacted = tables.read_mark(self._writer, "compacted")
        self._pending: list[tuple[_Write, asyncio.Future[Revision]]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._tasks = [asyncio.create_task(self._commit_groups()), asyncio.create_task(self._expire())]

    @classmethod
    async def open(cls, path: str | Path, clock: Clock | None = None) -> "SqliteStorage":
        """Opens or creates the file (its directory must exist). Raises Unavailable when another process has it, or it
        cannot be read."""
        return cls(Path(path), clock or SystemClock())

    async def create(self, key: str, value: bytes, ttl: int | None = None) -> Revision:
        return await self._write(partial(tables.insert, self._writer, key, value, self._expiry(ttl)))

    async def update(self, key: str, value: bytes, expected_revision: Revision, ttl: int | None = None) -> Revision:
        return await self._write(
            partial(tables.replace, self._writer, key, value, expected_revision, self._expiry(ttl))
        )

    async def delete(self, key: str, expected_revision: Revision) -> Revision:
        return await self._write(partial(tables.remove, self._writer, key, expected_revision))

    async def get(self, key: str, *, revision: Revision = 0) -> Stored | None:
        self._check_open()
        if revision > self._hub.revision:
            raise FutureRevision(revision, self._hub.revision)
        try:
            if not revision:
                return tables.read_one(self._getter, key)
            if revision < self._compacted:
                raise Compacted(revision, self._compacted)
            return tables.read_one_at(self._getter, key, revision)
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error

    async def list(self, prefix: str, *, revision: Revision = 0, limit: int = 0, start_after: str = "") -> ListPage:
        self._check_open()
        async with self._listing:
            try:
                self._lister.execute("BEGIN")
                try:
                    return await self._list(prefix, revision, limit, start_after)
                finally:
                    self._lister.execute("COMMIT")
            except sqlite3.Error as error:
                raise Unavailable(str(error)) from error

    async def _list(self, prefix: str, revision: Revision, limit: int, start_after: str) -> ListPage:
        current = tables.read_revision(self._lister)
        if revision > current:
            raise FutureRevision(revision, current)
        start, end = tables.key_range(prefix, start_after)
        if 0 < revision < current:
            if revision < self._compacted:
                raise Compacted(revision, self._compacted)
            return tables.read_at(self._lister, start, end, limit or -1, revision)
        items: list[Stored] = []
        while True:
            want = min(_LIST_CHUNK, limit - len(items)) if limit else _LIST_CHUNK
            chunk = tables.read_newest(self._lister, start, end, want)
            items.extend(chunk)
            if len(chunk) < want:
                return ListPage(items, current)
            start = chunk[-1].key + "\0"
            if len(items) == limit:
                remaining = tables.count(self._lister, start, end)
                return ListPage(items, current, remaining > 0, remaining)
            await asyncio.sleep(0)

    def watch(self, prefix: str, from_revision: Revision) -> HubWatch:
        return HubWatch(self._hub, self._history, prefix, from_revision)

    async def _history(self, prefix: str, after: Revision, up_to: Revision) -> tuple[Sequence[Change], Revision]:
        self._check_open()
        if after < self._compacted:
            raise Compacted(after, self._compacted)
        up_to = min(up_to, after + _HISTORY_CHUNK)
        try:
            changes = tables.read_history(self._getter, prefix, after, up_to)
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error
        await asyncio.sleep(0)
        return changes, up_to

    @property
    def seen_revision(self) -> Revision:
        return self._hub.revision

    async def current_revision(self) -> Revision:
        self._check_open()
        return self._hub.revision

    async def compact(self, revision: Revision) -> None:
        self._check_open()
        if revision > self._hub.revision:
            raise FutureRevision(revision, self._hub.revision)
        if revision > self._compacted:
            self._compacted = revision
            await self._write(lambda _: tables.set_mark(self._writer, "compacted", revision))
        pruned = tables.read_mark(self._getter, "pruned")
        while pruned < self._compacted:
            after, pruned = pruned, min(pruned + _PRUNE_CHUNK, self._compacted)
            await self._write(partial(self._prune, after, pruned))

    def _prune(self, after: Revision, up_to: Revision, _: Revision) -> None:
        tables.prune(self._writer, after, up_to)

    async def healthy(self) -> None:
        self._check_open()
        await self._write(lambda _: None)

    async def size(self) -> int:
        self._check_open()
        return tables.read_size(self._getter)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        commits, expiry = self._tasks
        expiry.cancel()
        await asyncio.wait([commits, expiry])
        self._thread.shutdown()
        self._hub.fail(Unavailable("the store is closed"))
        for connection in (self._lister, self._getter, self._writer):
            connection.close()
        os.close(self._lock)

    def _check_open(self) -> None:
        if self._closing:
            raise Unavailable("the store is closed")

    def _expiry(self, ttl: int | None) -> int | None:
        return None if ttl is None else int((self._clock.now().timestamp() + ttl) * 1000)

    async def _write(self, write: _Write) -> Revision:
        self._check_open()
        answer: asyncio.Future[Revision] = asyncio.get_running_loop().create_future()
        self._pending.append((write, answer))
        self._wake.set()
        return await answer

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                group, self._pending = self._pending, []
                try:
                    await self._begin()
                    answers, changes = self._execute(group)
                except sqlite3.Error as error:
                    log.error("write failed, nothing stored: %s", error)
                    self._roll_back()
                    _refuse(group, Unavailable, f"write failed: {error}")
                    continue
                try:
                    await loop.run_in_executor(self._thread, self._writer.execute, "COMMIT")
                except sqlite3.Error as error:
                    log.error("commit failed: %s", error)
                    self._roll_back()
                    _refuse(group, OutcomeUnknown, f"commit failed: {error}")
                    continue
                if changes:
                    self._hub.publish(changes, changes[-1].revision)
                for answer, outcome in answers:
                    if not answer.done():
                        if isinstance(outcome, StorageError):
                            answer.set_exception(outcome)
                        else:
                            answer.set_result(outcome)
            if self._closing:
                return

    async def _begin(self) -> None:
        deadline = self._clock.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or self._clock.monotonic() > deadline:
                    raise
            await self._clock.sleep(0.01)

    def _execute(
        self, group: Sequence[tuple[_Write, asyncio.Future[Revision]]]
    ) -> tuple[Sequence[_Answer], Sequence[Change]]:
        answers: list[_Answer] = []
        changes: list[Change] = []
        revision = self._hub.revision
        for write, answer in group:
            if answer.cancelled():
                continue
            outcome = write(revision + 1)
            if isinstance(outcome, Change):
                revision += 1
                changes.append(outcome)
                answers.append((answer, revision))
            else:
                answers.append((answer, revision if outcome is None else outcome))
        return answers, changes

    def _roll_back(self) -> None:
        """After a failed commit the file decides what has been stored; watches that missed it must start anew."""
        if self._writer.in_transaction:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
        with suppress(sqlite3.Error):
            revision = tables.read_revision(self._writer)
            if revision != self._hub.revision:
                self._hub.reset(Unavailable("changes were missed after a failed commit"), revision)

    async def _expire(self) -> None:
        """Deletes objects whose time has come, by the ordinary write (a newer version of the object wins)."""
        while True:
            await self._clock.sleep(_EXPIRY_PERIOD)
            try:
                due = tables.expired(self._getter, int(self._clock.now().timestamp() * 1000), _LIST_CHUNK)
                deletes = [self._write(partial(tables.remove, self._writer, key, revision)) for key, revision in due]
                for outcome in await asyncio.gather(*deletes, return_exceptions=True):
                    if isinstance(outcome, StorageError) and not isinstance(outcome, KeyMissing | RevisionMismatch):
                        raise outcome
            except (sqlite3.Error, StorageError) as error:
                log.warning("expired objects stay for now: %s", error)


def _refuse(group: Sequence[tuple[_Write, asyncio.Future[Revision]]], kind: type[StorageError], message: str) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(kind(message))


def _lock_file(path: Path) -> int:
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Unavailable(f"{path} is in use by another process") from None
    return descriptor
