"""subPath: links below the volume are followed, links out of it never, however fast a container swaps them."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodeagent.kubelet.volumes.atomic import write_payload
from nodeagent.kubelet.volumes.payload import File
from nodeagent.kubelet.volumes.subpath import SubPathProblem, open_below

ITERATIONS = 10_000


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir(mode=0o2770)
    (tmp_path / "volume").chmod(0o2770)
    (tmp_path / "outside").mkdir()
    return tmp_path / "volume"


@pytest.mark.parametrize("path", ["evil", "evil/x", "abs/passwd", "../outside", "/etc", "a/../../outside", "up/x/y"])
def test_no_way_out(volume: Path, path: str) -> None:
    outside = volume.parent / "outside"
    (volume / "evil").symlink_to(outside)
    (volume / "abs").symlink_to("/etc")
    (volume / "up").symlink_to("../outside")
    with pytest.raises(SubPathProblem):
        open_below(volume, path)
    assert list(outside.iterdir()) == []


def test_missing_folders_get_the_mode_of_the_volume(volume: Path) -> None:
    os.close(open_below(volume, "x/y"))
    assert {(volume / part).stat().st_mode & 0o7777 for part in ("x", "x/y")} == {0o2770}
    with pytest.raises(SubPathProblem, match="No such file"):
        open_below(volume, "absent", create=False)


def test_the_key_of_a_config_map(volume: Path) -> None:
    """It is a link to a link, both below the volume."""
    write_payload(volume, {"key": File(b"text", 0o644)}, now=datetime(2025, 1, 1, tzinfo=UTC))
    descriptor = open_below(volume, "key", create=False)
    assert Path(f"/proc/self/fd/{descriptor}").read_bytes() == b"text"
    os.close(descriptor)


def test_a_container_that_swaps_a_folder_for_a_link(volume: Path) -> None:
    """Every descriptor that comes out is below the volume, and nothing is made outside."""
    outside, stop, swaps = volume.parent / "outside", threading.Event(), itertools.count()

    def swap() -> None:
        while not stop.is_set():
            number = next(swaps)
            fresh, old = volume / f"new-{number}", volume / f"old-{number}"
            if number % 2:
                fresh.symlink_to(outside)
            else:
                fresh.mkdir()
            with contextlib.suppress(FileNotFoundError):
                (volume / "target").rename(old)
            # Whoever looks may have made a folder here again.
            shutil.rmtree(volume / "target", ignore_errors=True)
            with contextlib.suppress(OSError):
                fresh.rename(volume / "target")
            for left in (fresh, old):
                if left.is_symlink():
                    left.unlink()
                else:
                    shutil.rmtree(left, ignore_errors=True)

    swapper = threading.Thread(target=swap)
    swapper.start()
    inside = refused = 0
    try:
        for _ in range(ITERATIONS):
            try:
                descriptor = open_below(volume, "target/below")
            except SubPathProblem:
                refused += 1
                continue
            found = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            os.close(descriptor)
            assert not found.startswith(str(outside)), found
            inside += 1
        assert swapper.is_alive()
    finally:
        stop.set()
        swapper.join()
    assert list(outside.iterdir()) == []
    assert inside and refused and next(swaps) > 20, (inside, refused)
