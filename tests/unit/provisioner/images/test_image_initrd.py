"""The initrd's archive format and module order."""

import stat
import subprocess
from pathlib import Path

import pytest

from provisioner.images.initrd import plan_module_order, render_cpio


def test_busybox_unpacks_the_archive(tmp_path: Path) -> None:
    archive = render_cpio(
        {
            "bin": (stat.S_IFDIR | 0o755, b""),
            "bin/tool": (stat.S_IFREG | 0o755, b"#!/bin/sh\n"),
            "bin/sh": (stat.S_IFLNK | 0o777, b"tool"),
            "odd-length": (stat.S_IFREG | 0o644, b"12345"),
        }
    )
    subprocess.run(["busybox", "cpio", "-idm"], input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "bin/sh").readlink() == Path("tool")
    assert stat.S_IMODE((tmp_path / "bin/tool").stat().st_mode) == 0o755
    assert (tmp_path / "odd-length").read_bytes() == b"12345"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(["a"], ["k/a.ko"], id="alone"),
        pytest.param(["b"], ["k/c.ko", "k/a.ko", "k/b.ko"], id="deepest first"),
        pytest.param(["a", "b"], ["k/a.ko", "k/c.ko", "k/b.ko"], id="each once"),
        pytest.param(["built_in"], [], id="built into the kernel"),
        pytest.param(["x_y"], ["k/x-y.ko.xz"], id="dash or underscore"),
    ],
)
def test_modules_load_after_what_they_need(wanted: list[str], expected: list[str]) -> None:
    dependencies = {"k/a.ko": [], "k/b.ko": ["k/a.ko", "k/c.ko"], "k/c.ko": [], "k/x-y.ko.xz": []}
    assert plan_module_order(wanted, dependencies) == expected
