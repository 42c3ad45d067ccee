"""subPath: links below the volume are followed, links out of it never, however fast a container swaps them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodeagent.kubelet.volumes import mounts
from nodeagent.kubelet.volumes.atomic import write_payload
from nodeagent.kubelet.volumes.payload import File
from nodeagent.kubelet.volumes.subpath import SubPathProblem, bind_mount, open_below

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


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("evil", 'failed to prepare subPath for volumeMount "v" of container "c"'),
        ("file/x", 'failed to prepare subPath for volumeMount "v" of container "c"'),
        ("absent", 'failed to create subPath directory for volumeMount "v" of container "c"'),
        ("/etc", "error SubPath `/etc` must not be an absolute path"),
        ("a/../b", "unable to provision SubPath `a/../b`: must not contain '..'"),
    ],
)
def test_what_is_told_says_nothing_of_the_node(volume: Path, path: str, told: str) -> None:
    (volume / "evil").symlink_to("/etc")
    (volume / "file").write_text("")
    mounts.bind(str(volume), str(volume), read_only=True)
    try:
        with pytest.raises(SubPathProblem) as refused:
            bind_mount("v", "c", volume, path, volume.parent / "target")
    finally:
        mounts.unmount(str(volume))
    assert str(refused.value) == told


def test_a_key_that_a_config_map_does_not_have_is_a_folder(volume: Path) -> None:
    """For good: the key that comes later is not seen there (upstream's behaviour)."""
    target, now = volume.parent / "target", datetime(2025, 1, 1, tzinfo=UTC)
    write_payload(volume, {"key": File(b"text", 0o644)}, now=now)
    bind_mount("v", "c", volume, "other", target)
    mounts.unmount(str(target))
    assert target.is_dir() and (volume / "other").is_dir()
    write_payload(volume, {"key": File(b"text", 0o644), "other": File(b"", 0o644)}, now=now)
    assert not (volume / "other").is_symlink()


def test_the_key_of_a_config_map(volume: Path) -> None:
    """It is a link to a link, both below the volume."""
    write_payload(volume, {"key": File(b"text", 0o644)}, now=datetime(2025, 1, 1, tzinfo=UTC))
    descriptor = open_below(volume, "key", create=False)
    assert Path(f"/proc/self/fd/{descriptor}").read_bytes() == b"text"
    os.close(descriptor)


def test_links_are_followed_below_the_volume_as_the_kernel_would(volume: Path) -> None:
    (volume / "a" / "b").mkdir(parents=True)
    (volume / "file").write_text("x")
    (volume / "a" / "up").symlink_to("../c")
    (volume / "c").symlink_to("./a//b/.")
    (volume / "b").symlink_to("a/up/../../file")
    (volume / "round").symlink_to("round")
    (volume / "dangling").symlink_to("nowhere")
    for path in ("a/up", "c", "b", "a/b/", "file", "."):
        descriptor = open_below(volume, path, create=False)
        assert Path(f"/proc/self/fd/{descriptor}").readlink() == (volume / path).resolve()
        os.close(descriptor)
    refused = {
        "round": "Too many levels of symbolic links",
        "file/x": "Not a directory",
        "dangling": "No such file or directory",
        "x/" * 200: "File name too long",
    }
    for path, why in refused.items():
        with pytest.raises(SubPathProblem, match=why):
            open_below(volume, path)
    assert not (volume / "nowhere").exists(), "what a link names is not made"


class Attacker:
    """A process that does one thing in a volume as fast as it can. action: statements of Python, run without end."""

    def __init__(self, volume: Path, setup: str, action: str) -> None:
        program = f"""
import ctypes, itertools, os, sys
os.chdir(sys.argv[1])
exchange = lambda a, b: libc.renameat2(-100, a, -100, b, 2)
libc = ctypes.CDLL(None)
{setup}
print("ready", flush=True)
while os.getppid() == {os.getpid()}:
    for _ in range(100):
        {action}
    print(flush=True)
"""
        self._process = subprocess.Popen([sys.executable, "-c", program, str(volume)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self._rounds = 0
        self._reader = threading.Thread(target=self._count)
        self._reader.start()

    def _count(self) -> None:
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            self._rounds += 1

    @property
    def actions(self) -> int:
        """How often so far, in hundreds. Raises AssertionError when it has died."""
        assert self._process.poll() is None
        return self._rounds * 100

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


def test_a_container_that_swaps_a_folder_for_a_link(volume: Path) -> None:
    """Every descriptor that comes out is below the volume, and nothing is made outside."""
    outside = volume.parent / "outside"
    (outside / "there").mkdir()
    (volume / "target").mkdir()
    (volume / "target" / "there").mkdir()
    (volume / "evil").symlink_to("../outside")
    # Through the descriptor it takes away what was made in the folder, wherever that is by now.
    attacker = Attacker(
        volume,
        "own = os.open('target', os.O_RDONLY)",
        "exchange(b'target', b'evil'); libc.unlinkat(own, b'made', 512)",
    )
    wrong = (outside / "there").stat().st_ino
    inside = refused = tried = 0
    began = time.monotonic()
    try:
        # On a busy machine the attacker may have had no turn yet.
        while tried < ITERATIONS or not (inside and refused and attacker.actions >= 1000):
            assert time.monotonic() - began < 120, (inside, refused, attacker.actions)
            tried += 1
            try:
                descriptor = open_below(volume, ("target/there", "target/made", "target/made/x")[tried % 3])
            except SubPathProblem:
                refused += 1
                continue
            assert os.fstat(descriptor).st_ino != wrong
            found = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            os.close(descriptor)
            assert found.startswith(f"{volume}/"), found
            inside += 1
    finally:
        attacker.stop()
    assert list(outside.iterdir()) == [outside / "there"] and not list((outside / "there").iterdir())
    print(f"subPath race: {tried} tries, {inside} inside, {refused} refused")


def test_nobody_holds_it_up_by_renaming(volume: Path) -> None:
    """The kernel's own resolution (openat2) gives up at each `..` while anything on the machine is being renamed."""
    (volume / "a" / "b").mkdir(parents=True)
    (volume / "link").symlink_to("a/../" * 800 + "a/b")
    attacker = Attacker(volume, "os.mkdir('here')", "os.rename('here', 'there'); os.rename('there', 'here')")
    began = time.monotonic()
    tried = 0
    try:
        while tried < 100 or attacker.actions < 1000:
            assert time.monotonic() - began < 120, (tried, attacker.actions)
            os.close(open_below(volume, "link", create=False))
            tried += 1
    finally:
        attacker.stop()
