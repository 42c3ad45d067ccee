"""The tables of the SQLite store and every statement on them. Plain functions on a connection; transactions are the
caller's.

`changes` is the append-only history: one row per revision. `objects` is the present: key → revision of its newest row.
The state at an old revision R needs no index over history: it is the present without what changed after R, plus the
predecessors (`prev_revision`) of what changed after R. So it costs what has changed since R, and a create costs two
inserts.
"""

import sqlite3
from collections.abc import Sequence

from .interface import (
    Change,
    ChangeType,
    KeyExists,
    KeyMissing,
    ListPage,
    Revision,
    RevisionMismatch,
    StorageError,
    Stored,
    Unavailable,
)

SCHEMA_VERSION = 1

# `key` stands before `value` so that scans over history do not touch the overflow pages of large values.
_SCHEMA = """
CREATE TABLE changes (
  revision INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  type TEXT NOT NULL,
  prev_revision INTEGER NOT NULL,
  value BLOB NOT NULL
);
CREATE TABLE objects (
  key TEXT PRIMARY KEY,
  mod_revision INTEGER NOT NULL,
  expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX expiring ON objects (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE marks (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO marks VALUES ('compacted', 0), ('pruned', 0);
"""

# The revision of an empty store; etcd's is 1 too.
FIRST_REVISION: Revision = 1

_TYPES = {kind.value: kind for kind in ChangeType}
_NO_END = "\U0010ffff"


def open_connection(path: str) -> sqlite3.Connection:
    """A connection for explicit transactions that waits for no lock, with the durability the store promises: every
    commit is on disk before it returns (synchronous=NORMAL may lose the last commits on power loss)."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def create_schema(connection: sqlite3.Connection) -> None:
    """Makes the tables in a new file; raises Unavailable for a file written by a newer kubelab."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
    elif version != SCHEMA_VERSION:
        raise Unavailable(f"the database has schema version {version}, this program knows {SCHEMA_VERSION}")


def read_revision(connection: sqlite3.Connection) -> Revision:
    """The newest revision. Pruning may have removed the newest rows (deletions), never beyond the compacted mark."""
    (newest,) = connection.execute("SELECT max(revision) FROM changes").fetchone()
    return max(newest or 0, read_mark(connection, "compacted"), FIRST_REVISION)


def read_size(connection: sqlite3.Connection) -> int:
    """The bytes of the database's file, as far as it is written out."""
    pages, bytes_each = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(bytes_each)


def read_mark(connection: sqlite3.Connection, name: str) -> Revision:
    """`compacted`: history below is not served. `pruned`: history up to here has really been removed."""
    (revision,) = connection.execute("SELECT revision FROM marks WHERE name = ?", (name,)).fetchone()
    return int(revision)


def set_mark(connection: sqlite3.Connection, name: str, revision: Revision) -> None:
    """Moves a mark."""
    connection.execute("UPDATE marks SET revision = ? WHERE name = ?", (revision, name))


def read_one(connection: sqlite3.Connection, key: str) -> Stored | None:
    """The newest version of one object."""
    row = connection.execute(
        "SELECT c.value, o.mod_revision FROM objects o JOIN changes c ON c.revision = o.mod_revision WHERE o.key = ?",
        (key,),
    ).fetchone()
    return None if row is None else Stored(key, row[0], row[1])


def read_one_at(connection: sqlite3.Connection, key: str, revision: Revision) -> Stored | None:
    """The version of one object as of `revision`: what the first change after it replaced, or what is there now.
    Cost: the changes since."""
    while True:
        since = connection.execute(
            "SELECT prev_revision FROM changes WHERE revision > ? AND key = ? ORDER BY revision LIMIT 1",
            (revision, key),
        ).fetchone()
        if since is not None:
            break
        newest = read_one(connection, key)
        if newest is None or newest.mod_revision <= revision:
            return newest
        # Committed between the two statements: now the first one finds it.
    (held,) = since
    row = connection.execute("SELECT value FROM changes WHERE revision = ?", (held,)).fetchone()
    return Stored(key, row[0], held) if held and row is not None else None


def insert(
    connection: sqlite3.Connection, key: str, value: bytes, expires_at: int | None, revision: Revision
) -> Change | StorageError:
    """Creates the object at `revision`, or says why not (having changed nothing)."""
    done = connection.execute("INSERT OR IGNORE INTO objects VALUES (?, ?, ?)", (key, revision, expires_at))
    if done.rowcount == 0:
        return KeyExists(key)
    connection.execute("INSERT INTO changes VALUES (?, ?, 'CREATE', 0, ?)", (revision, key, value))
    return Change(ChangeType.CREATE, key, value, None, revision)


def replace(
    connection: sqlite3.Connection,
    key: str,
    value: bytes,
    expected: Revision,
    expires_at: int | None,
    revision: Revision,
) -> Change | StorageError:
    """Updates the object at `revision` if it is at `expected`, or says why not (having changed nothing)."""
    current = read_one(connection, key)
    if current is None:
        return KeyMissing(key)
    if current.mod_revision != expected:
        return RevisionMismatch(key, expected, current)
    connection.execute("UPDATE objects SET mod_revision = ?, expires_at = ? WHERE key = ?", (revision, expires_at, key))
    connection.execute("INSERT INTO changes VALUES (?, ?, 'UPDATE', ?, ?)", (revision, key, expected, value))
    return Change(ChangeType.UPDATE, key, value, current.value, revision)


def remove(connection: sqlite3.Connection, key: str, expected: Revision, revision: Revision) -> Change | StorageError:
    """Deletes the object at `revision` if it is at `expected`, or says why not (having changed nothing)."""
    current = read_one(connection, key)
    if current is None:
        return KeyMissing(key)
    if current.mod_revision != expected:
        return RevisionMismatch(key, expected, current)
    connection.execute("DELETE FROM objects WHERE key = ?", (key,))
    connection.execute("INSERT INTO changes VALUES (?, ?, 'DELETE', ?, x'')", (revision, key, expected))
    return Change(ChangeType.DELETE, key, b"", current.value, revision)


def key_range(prefix: str, start_after: str = "") -> tuple[str, str]:
    """The half-open range of the keys under `prefix` that are greater than `start_after`."""
    start = start_after + "\0" if start_after >= prefix and start_after else prefix
    return start, prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else _NO_END


def read_newest(connection: sqlite3.Connection, start: str, end: str, limit: int) -> list[Stored]:
    """At most `limit` (-1: all) newest versions in the key range, in key order."""
    rows = connection.execute(
        "SELECT o.key, c.value, o.mod_revision FROM objects o JOIN changes c ON c.revision = o.mod_revision "
        "WHERE o.key >= ? AND o.key < ? ORDER BY o.key LIMIT ?",
        (start, end, limit),
    )
    return [Stored(*row) for row in rows]


def read_at(connection: sqlite3.Connection, start: str, end: str, limit: int, revision: Revision) -> ListPage:
    """The same as of `revision`, with what follows counted. Cost: the keys in range and the changes since."""
    keys = sorted(
        connection.execute(
            "SELECT key, mod_revision FROM objects WHERE key >= :start AND key < :end AND mod_revision <= :revision "
            "UNION ALL SELECT key, prev_revision FROM changes WHERE revision > :revision "
            "AND key >= :start AND key < :end AND prev_revision BETWEEN 1 AND :revision",
            {"start": start, "end": end, "revision": revision},
        ).fetchall()
    )
    chosen = keys if limit < 0 else keys[:limit]
    items = []
    for key, mod_revision in chosen:
        (value,) = connection.execute("SELECT value FROM changes WHERE revision = ?", (mod_revision,)).fetchone()
        items.append(Stored(key, value, mod_revision))
    remaining = len(keys) - len(chosen)
    return ListPage(items, revision, remaining > 0, remaining)


def count(connection: sqlite3.Connection, start: str, end: str) -> int:
    """How many objects the key range has now."""
    (number,) = connection.execute("SELECT count(*) FROM objects WHERE key >= ? AND key < ?", (start, end)).fetchone()
    return int(number)


def read_history(connection: sqlite3.Connection, prefix: str, after: Revision, up_to: Revision) -> Sequence[Change]:
    """The changes under `prefix` in (after, up_to], in order."""
    start, end = key_range(prefix)
    rows = connection.execute(
        "SELECT c.type, c.key, c.value, p.value, c.revision FROM changes c "
        "LEFT JOIN changes p ON p.revision = c.prev_revision AND c.prev_revision > 0 "
        "WHERE c.revision > ? AND c.revision <= ? AND c.key >= ? AND c.key < ? ORDER BY c.revision",
        (after, up_to, start, end),
    )
    return [Change(_TYPES[row[0]], row[1], row[2], row[3], row[4]) for row in rows]


def prune(connection: sqlite3.Connection, after: Revision, up_to: Revision) -> None:
    """Removes what the changes in (after, up_to] made unreachable: the versions they replaced, and deletions."""
    connection.execute(
        "DELETE FROM changes WHERE revision IN "
        "(SELECT prev_revision FROM changes WHERE revision > ? AND revision <= ? AND prev_revision > 0)",
        (after, up_to),
    )
    connection.execute("DELETE FROM changes WHERE revision > ? AND revision <= ? AND type = 'DELETE'", (after, up_to))
    set_mark(connection, "pruned", up_to)


def expired(connection: sqlite3.Connection, now_ms: int, limit: int) -> list[tuple[str, Revision]]:
    """Key and revision of objects whose time has come, at most `limit`, earliest first."""
    return connection.execute(
        "SELECT key, mod_revision FROM objects WHERE expires_at <= ? ORDER BY expires_at LIMIT ?", (now_ms, limit)
    ).fetchall()
