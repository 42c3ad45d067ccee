"""Programs that an unpacked image and the machine have alike are one file."""

from __future__ import annotations

from pathlib import Path

from provisioner.images.preload import share_programs

ELF = b"\x7fELF program"


def put(path: Path, data: bytes, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_equal_programs_are_joined_and_nothing_else(tmp_path: Path) -> None:
    tree, snapshots = tmp_path / "tree", tmp_path / "tree/var/snapshots"
    own = {name: put(tree / "usr/bin" / name, ELF) for name in ("same", "other", "mode")}
    own["text"] = put(tree / "usr/bin/text", b"#!/bin/sh\n")
    layer = snapshots / "7/fs/usr/bin"
    theirs = {
        "same": put(layer / "same", ELF),
        "other": put(layer / "other", ELF + b"!"),
        "mode": put(layer / "mode", ELF, 0o700),
        "text": put(layer / "text", b"#!/bin/sh\n"),
    }
    put(layer / "only-theirs", ELF)
    (layer / "link").symlink_to("same")

    assert share_programs(tree, snapshots) == 1
    assert theirs["same"].samefile(own["same"])
    assert not any(theirs[name].samefile(own[name]) for name in ("other", "mode", "text"))
    assert theirs["other"].read_bytes() == ELF + b"!"
    assert (layer / "link").is_symlink()
    assert share_programs(tree, snapshots) == 0
