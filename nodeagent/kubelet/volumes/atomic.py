"""Replacing the files of a volume all at once: a reader sees the old payload or the new, never a mixture.

The layout is upstream's (pkg/volume/util/atomic_writer.go), which programs that watch such files rely on:
`name → ..data/name`, `..data → ..2025_01_02_03_04_05.123456789`, swapped by one rename.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from .payload import Payload

_DATA = "..data"


def write_payload(volume: Path, payload: Payload, *, now: datetime, gid: int | None = None) -> bool:
    """Make `volume` hold exactly `payload`. gid: the pod's fsGroup, to own the files. True when something changed."""
    volume.mkdir(parents=True, exist_ok=True)
    current = volume / _DATA
    if _holds(current, payload):
        return False
    stamp = now.strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=volume))
    try:
        _folder(fresh, gid)
        _fill(fresh, payload, gid)
        _link(volume, payload)
        swap = volume / "..data_tmp"
        with contextlib.suppress(FileNotFoundError):
            swap.unlink()
        swap.symlink_to(fresh.name)
        swap.rename(current)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _unlink_stale(volume, payload)
    # The payload before this one, and what writers left that were killed.
    for entry in volume.iterdir():
        if entry.name.startswith("..2") and entry.name != fresh.name and entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
    return True


def _folder(folder: Path, gid: int | None) -> None:
    folder.chmod(0o755)
    if gid is not None:
        os.chown(folder, -1, gid)
        folder.chmod(0o2755)


def _fill(folder: Path, payload: Payload, gid: int | None) -> None:
    for path, file in payload.items():
        place = folder / path
        for below in reversed(place.relative_to(folder).parents[:-1]):
            if not (folder / below).is_dir():
                (folder / below).mkdir()
                _folder(folder / below, gid)
        place.write_bytes(file.data)
        place.chmod(file.mode if gid is None else file.mode | 0o440)
        if gid is not None or file.uid is not None:
            os.chown(place, -1 if file.uid is None else file.uid, -1 if gid is None else gid)


def _link(volume: Path, payload: Payload) -> None:
    for top in {path.split("/")[0] for path in payload}:
        link = volume / top
        if not link.is_symlink():
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
