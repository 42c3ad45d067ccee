"""Cache entries are whole or absent."""

import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from provisioner.images import cache
from provisioner.images.errors import ImageError, damage_explained


def make(target: Path) -> None:
    (target / "file").write_text("built")


def test_builds_once_and_then_finds_it(tmp_path: Path) -> None:
    calls = []

    def build(target: Path) -> None:
        calls.append(target)
        make(target)

    first = cache.ensure(tmp_path, "oci", "abc", build)
    assert cache.ensure(tmp_path, "oci", "abc", build) == first
    assert (first / "file").read_text() == "built"
    assert len(calls) == 1


def test_what_a_killed_build_left_mounted_is_unmounted(tmp_path: Path) -> None:
    left = tmp_path / "images/oci/.building-abc-1/tree"
    left.mkdir(parents=True)
    script = """
        import sys
        from pathlib import Path
        from provisioner.images import cache
        cache.ensure(Path(sys.argv[1]), "oci", "abc", lambda target: (target / "file").write_text("built"))
        print(sorted(path.name for path in Path(sys.argv[1], "images/oci").iterdir()))
    """
    # In a mount namespace of its own: whatever fails, this machine has nothing mounted.
    mounts = f"mount -t tmpfs none {left} && mkdir {left}/shm && mount -t tmpfs none {left}/shm && "
    command = mounts + f"exec {sys.executable} -c '{textwrap.dedent(script)}' {tmp_path}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "['.lock', 'abc']\n", done.stderr


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(target: Path) -> None:
        make(target)
        raise ImageError("no network")

    with pytest.raises(ImageError, match="no network"):
        cache.ensure(tmp_path, "oci", "abc", build)
    assert [p.name for p in (tmp_path / "images/oci").iterdir()] == [".lock"]


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    def build(target: Path) -> None:
        raise OSError(28, "No space left on device", str(target / "disk.raw"))

    with pytest.raises(ImageError, match="free some gigabytes"):
        cache.ensure(tmp_path, "oci", "abc", build)


def test_a_killed_build_is_cleaned_by_the_next(tmp_path: Path) -> None:
    program = (
        "import os, pathlib; from provisioner.images import cache\n"
        f"cache.ensure(pathlib.Path({str(tmp_path)!r}), 'oci', 'abc', lambda t: os.kill(os.getpid(), 9))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert [image.digest for image in cache.list_images(tmp_path)] == []
    assert len(list((tmp_path / "images/oci").glob(".building-*"))) == 1
    cache.ensure(tmp_path, "oci", "def", make)
    assert sorted(p.name for p in (tmp_path / "images/oci").iterdir()) == [".lock", "def"]


def test_two_builders_at_once_build_once(tmp_path: Path) -> None:
    started, finish, builds = threading.Event(), threading.Event(), []

    def slow(target: Path) -> None:
        builds.append(target)
        started.set()
        assert finish.wait(30)
        make(target)

    threads = [threading.Thread(target=cache.ensure, args=(tmp_path, "oci", "abc", slow)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert started.wait(30)
    finish.set()
    for thread in threads:
        thread.join(30)
    assert len(builds) == 1


def test_prune_keeps_what_is_in_use(tmp_path: Path) -> None:
    for digest in ("used", "stale"):
        cache.ensure(tmp_path, "guest", digest, make)
    (tmp_path / "images/guest/.building-x-1").mkdir()
    removed = cache.prune(tmp_path, keep=["used"])
    assert [path.name for path in removed] == [".building-x-1", "stale"]
    assert [image.digest for image in cache.list_images(tmp_path)] == ["used"]


def test_digest_parts_cannot_run_into_each_other() -> None:
    assert cache.digest_of([("a", "bc")]) != cache.digest_of([("ab", "c")])
    assert cache.digest_of([("a", "x"), ("b", "")]) != cache.digest_of([("a", ""), ("b", "x")])


def test_mode_and_link_changes_change_a_recipes_digest(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("x")
    before = cache.directory_parts(tmp_path, "r")
    script.chmod(0o755)
    assert cache.directory_parts(tmp_path, "r") != before


def test_an_entry_that_lost_a_file_is_named(tmp_path: Path) -> None:
    entry = tmp_path / "images/oci/0123"
    entry.mkdir(parents=True)
    words = f"image.json is missing: remove {entry}, and try again"
    with pytest.raises(ImageError, match=words), damage_explained(tmp_path):
        (entry / "image.json").read_text()


def test_half_a_file_is_damage_too_and_a_file_elsewhere_is_not(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the image cache is damaged"), damage_explained(tmp_path):
        json.loads("{")
    with pytest.raises(FileNotFoundError), damage_explained(tmp_path):
        (tmp_path / "elsewhere").read_text()
