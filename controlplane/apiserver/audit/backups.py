"""Audit logs that were put aside: which go, and which are to be compressed (as lumberjack, which writes upstream's)."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path

log = logging.getLogger(__name__)

_STAMP = "%Y-%m-%dT%H-%M-%S.%f"
_GZIP = ".gz"
_CHUNK = 1 << 20


def named(path: Path, moment: datetime) -> Path:
    """How a log is called that is put aside at that moment, to the millisecond."""
    return path.with_name(f"{path.stem}-{moment.strftime(_STAMP)[:-3]}{path.suffix}")


def plan(
    path: Path, names: Iterable[str], now: datetime, *, backups: int, age: timedelta | None, compress: bool
) -> tuple[list[str], list[str]]:
    """Of the names beside the log `path`: those to remove, and those to compress.

    backups: how many stay (0: all), a log and its compressed form being one; age: for how long (None: for ever).
    """
    prefix = f"{path.stem}-"
    dated = []
    for name in names:
        plain = name.removesuffix(_GZIP)
        if not (plain.startswith(prefix) and plain.endswith(path.suffix)):
            continue
        try:
            stamp = datetime.strptime(plain[len(prefix) : len(plain) - len(path.suffix)], _STAMP)
        except ValueError:
            continue  # not one of ours
        dated.append((stamp.replace(tzinfo=now.tzinfo), plain, name))
    dated.sort(reverse=True)
    order = list(dict.fromkeys(plain for _, plain, _ in dated))
    gone = set(order[backups:]) if backups else set()
    if age is not None:
        gone |= {plain for when, plain, _ in dated if now - when > age}
    left = [name for _, plain, name in dated if plain not in gone]
    todo = [name for name in left if not name.endswith(_GZIP)] if compress else []
    return [name for _, plain, name in dated if plain in gone], todo


def compress_all(paths: Sequence[Path]) -> None:
    """Put each in the place of its compressed form. A failure is told, and leaves the log as it was."""
    for path in paths:
        try:
            _compress(path)
        except OSError as error:
            log.error("audit: %s could not be compressed: %s", path, error)


def _compress(path: Path) -> None:
    target, found = path.with_name(path.name + _GZIP), path.stat()
    try:
        # What a former attempt left is written over.
        with path.open("rb") as plain, private(target, os.O_TRUNC) as raw, gzip.open(raw, "wb") as packed:
            os.fchmod(raw.fileno(), found.st_mode & 0o7777)
            os.fchown(raw.fileno(), found.st_uid, found.st_gid)
            shutil.copyfileobj(plain, packed, _CHUNK)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    path.unlink()


def private(path: Path, flags: int) -> FileIO:
    """A file to write to, without a buffer; one that was not there yet is nobody else's to read."""
    return FileIO(os.open(path, flags | os.O_WRONLY | os.O_CREAT, 0o600), "wb")
