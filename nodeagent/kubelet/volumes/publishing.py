"""The last steps of a mounted volume: it is shown in the pod's folder, and given to the pod's group."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nodeagent.kubelet.pods import Pod

from . import mounts
from .ownership import set_group


def publish(source: Path, target: Path, *, read_only: bool) -> None:
    """Bind what is mounted at `source` to the pod's folder `target`, once. Raises OSError."""
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o750)
    if not mounts.is_bound(target):
        mounts.bind(str(source), str(target), read_only=read_only)


async def give_to_group(pod: Pod, target: Path, gid: int | None, *, read_only: bool) -> None:
    """Apply the pod's fsGroup, as its fsGroupChangePolicy says. gid: None for a pod without one. Raises OSError."""
    if gid is None or read_only:
        return
    policy = (pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
    await asyncio.to_thread(set_group, target, gid, on_root_mismatch=policy == "OnRootMismatch")
