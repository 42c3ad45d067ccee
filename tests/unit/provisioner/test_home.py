"""A lab's folder: its lock, what it remembers, how it is found."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from provisioner.errors import LabError
from provisioner.home import LabHome, find_lab
from provisioner.specfile import parse_lab


def test_one_at_a_time_and_nothing_is_left_of_the_lock(tmp_path: Path) -> None:
    place = LabHome(tmp_path, "one")
    with place.locked():
        place.create(parse_lab("name: one"))
        with pytest.raises(LabError, match=rf"another kubelab \(process {os.getpid()}\)"), place.locked():
            pass
    assert (tmp_path / "labs/.one.lock").exists(), "the lab is there"
    with place.locked():
        place.remove()
    assert list((tmp_path / "labs").iterdir()) == []


def test_a_lock_that_was_removed_while_one_waited_is_none(tmp_path: Path) -> None:
    place = LabHome(tmp_path, "one")
    (tmp_path / "labs").mkdir()
    with (tmp_path / "labs/.one.lock").open("w") as removed:
        fcntl.flock(removed, fcntl.LOCK_EX)
        (tmp_path / "labs/.one.lock").unlink()
        with place.locked():
            assert (tmp_path / "labs/.one.lock").stat().st_ino != os.fstat(removed.fileno()).st_ino


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"masters": 1}'])
def test_a_damaged_memory_of_the_lab_says_so(text: str, tmp_path: Path) -> None:
    place = LabHome(tmp_path, "one")
    place.create(parse_lab("name: one"))
    place.lab_file.write_text(text)
    with pytest.raises(LabError, match=r"lab\.json is damaged"):
        place.load()


def test_the_only_lab_needs_no_name(tmp_path: Path) -> None:
    LabHome(tmp_path, "one").create(parse_lab("name: one"))
    assert find_lab(tmp_path, None).name == "one"
