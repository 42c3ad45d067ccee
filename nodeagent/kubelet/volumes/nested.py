"""Mount points inside a volume that containers cannot write to (pkg/volume/util/nested_volumes.go).

Another volume may be mounted below one of files, as /etc/app and /etc/app/cache. The runtime can make nothing in the
outer one, which is read-only: its folder has to be there before.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from .payload import PayloadProblem


def nested_mount_points(pod: Pod, name: str) -> list[str]:
    """Where containers mount anything directly below the volume, relative to it. Pure."""
    return [point for _, container in pods.all_containers(pod) for point in _of_container(container, name)]


def _of_container(container: Mapping[str, Any], name: str) -> list[str]:
    asked = [(each["name"], _clean(each["mountPath"])) for each in container.get("volumeMounts") or ()]
    found = []
    for volume, outer in asked:
        last = ""
        for path in sorted(path for _, path in asked):
            # What is mounted below an inner one is that one's affair.
            if volume == name and path.startswith(f"{outer}/") and not (last and path.startswith(last)):
                last = f"{path}/"
                found.append(path.removeprefix(f"{outer}/"))
    return found


def _clean(path: str) -> str:
    """Without `.`, `..` and doubled slashes; a relative path is one of the root."""
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


def make_mount_points(pod: Pod, name: str, place: Path) -> None:
    """Make the folders that other volumes are mounted on in this one. Raises PayloadProblem."""
    for point in nested_mount_points(pod, name):
        folder = place / point
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            why = "not a directory" if isinstance(error, FileExistsError) else (error.strerror or "").lower()
            raise PayloadProblem(f"unable to create nested volume mountpoints: mkdir {folder}: {why}") from error
