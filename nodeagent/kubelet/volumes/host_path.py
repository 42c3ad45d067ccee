"""hostPath: a path of the node, of the type that is asked for (pkg/volume/hostpath)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .payload import PayloadProblem


def check_host_path(source: Mapping[str, Any]) -> Path:
    """The path, of the type that is asked for; *OrCreate makes it. Raises PayloadProblem."""
    path, kind = Path(source["path"]), source.get("type") or ""
    if ".." in path.parts:
        raise PayloadProblem(f"invalid HostPath `{source['path']}`: must not contain '..'")
    if not path.exists():
        _make(path, kind)
    checks = {
        "Directory": (path.is_dir, "directory"),
        "DirectoryOrCreate": (path.is_dir, "directory"),
        "File": (path.is_file, "file"),
        "FileOrCreate": (path.is_file, "file"),
        "Socket": (path.is_socket, "socket file"),
        "CharDevice": (path.is_char_device, "character device"),
        "BlockDevice": (path.is_block_device, "block device"),
    }
    if kind in checks and not checks[kind][0]():
        raise PayloadProblem(f"hostPath type check failed: {path} is not a {checks[kind][1]}")
    return path


def _make(path: Path, kind: str) -> None:
    """What the type says is to be made. Raises PayloadProblem, worded as Go words what the system says."""
    call = {"DirectoryOrCreate": "mkdir", "FileOrCreate": "open"}.get(kind)
    try:
        if call == "mkdir":
            path.mkdir(parents=True, mode=0o755)
        elif call == "open":
            path.touch(mode=0o644)
    except OSError as error:
        raise PayloadProblem(f"{call} {error.filename or path}: {(error.strerror or '').lower()}") from error
