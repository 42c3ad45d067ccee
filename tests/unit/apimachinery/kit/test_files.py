from pathlib import Path

import pytest

from apimachinery.kit.files import write_atomic


def test_writes_content_and_mode_and_says_whether_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "a/b"
    assert write_atomic(path, "x", 0o600)
    assert path.read_text() == "x"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not write_atomic(path, b"x", 0o600)
    assert write_atomic(path, "x", 0o644)
    assert write_atomic(path, "y", 0o644)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(path, "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]
