"""Replacing the files of a volume all at once: a reader sees the old payload or the new, never a mixture.

The layout is upstream's (pkg/volume/util/atomic_writer.go), which programs that watch such files rely on:
`name → ..data/name`, `..data → ..2025_01_02_03_04_05.123456789`, swapped by one rename.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from datetime import datetime
from pathlib import Path

from .ownership import set_group
from .payload import Payload

_DATA = "..data"


def write_payload(volume: Path, payload: Payload, *, now: datetime, gid: int | None = None) -> bool:
    """Make `volume` hold exactly `payload`. gid: the pod's fsGroup, to own all of it. True when something changed."""
    volume.mkdir(parents=True, exist_ok=True)
    current = volume / _DATA
    if _holds(current, payload):
        _link(volume, payload)  # a writer may have been killed before it did
        return False
    fresh = _new_folder(volume, now)
    try:
        fresh.chmod(0o755)
        _fill(fresh, payload)
        if gid is not None:
            # All of the volume: what is at its root may be new as well.
            set_group(volume, gid, read_only=True)
        swap = volume / "..data_tmp"
        with contextlib.suppress(FileNotFoundError):
            swap.unlink()
        swap.symlink_to(fresh.name)
        swap.rename(current)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _link(volume, payload)
    _unlink_stale(volume, payload)
    # The payload before this one, and what writers left that were killed.
    for entry in volume.iterdir():
        if entry.name.startswith("..2") and entry.name != fresh.name and entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
    return True


def _new_folder(volume: Path, now: datetime) -> Path:
    """A folder named after the time and any number, as Go's MkdirTemp makes it."""
    while True:
        fresh = volume / f"{now:..%Y_%m_%d_%H_%M_%S}.{random.getrandbits(32)}"
        with contextlib.suppress(FileExistsError):
            fresh.mkdir(mode=0o700)
            return fresh


def _fill(folder: Path, payload: Payload) -> None:
    for path, file in payload.items():
        place = folder / path
        for below in reversed(place.relative_to(folder).parents[:-1]):
            if not (folder / below).is_dir():
                (folder / below).mkdir()
                (folder / below).chmod(0o755)
        place.write_bytes(file.data)
        place.chmod(file.mode)
        if file.uid is not None:
            os.chown(place, file.uid, -1)


def _link(volume: Path, payload: Payload) -> None:
    for top in {path.split("/")[0] for path in payload}:
        link = volume / top
        if not os.path.lexists(link):  # what else is there is a mount point
            link.symlink_to(f"{_DATA}/{top}")


def _unlink_stale(volume: Path, payload: Payload) -> None:
    wanted = {path.split("/")[0] for path in payload}
    for entry in volume.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()


def _holds(current: Path, payload: Payload) -> bool:
    if not current.is_dir():
        return False
    present = {str(file.relative_to(current)) for file in current.rglob("*") if file.is_file()}
    if present != set(payload):
        return False
    return all((current / path).read_bytes() == file.data for path, file in payload.items())
