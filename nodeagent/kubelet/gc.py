"""Collecting what pods leave behind: dead containers, old sandboxes, log directories (kuberuntime_gc.go)."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path

from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.runtime.state import ContainerState, PodState, State

log = logging.getLogger(__name__)

# Dead containers kept per container of a pod, for `kubectl logs --previous` (MaxPerPodContainer).
_KEEP_DEAD = 1


def plan_containers(state: PodState, keep: int = _KEEP_DEAD) -> list[ContainerState]:
    """The dead containers of a live pod to remove: of each name all but the newest `keep` besides the current one."""
    doomed: list[ContainerState] = []
    by_name: dict[str, int] = {}
    for container in state.containers:
        seen = by_name.get(container.name, 0)
        by_name[container.name] = seen + 1
        if seen > keep and container.state in (State.EXITED, State.CREATED):
            doomed.append(container)
    return doomed


def plan_sandboxes(state: PodState) -> list[str]:
    """The sandboxes of a live pod to remove: not the newest, not ready, and without containers."""
    used = {container.sandbox_id for container in state.containers}
    return [box.id for box in state.sandboxes[1:] if not box.ready and box.id not in used]


class Collector:
    """Removes what nothing needs."""

    def __init__(self, runtime: RuntimeService, paths: Paths) -> None:
        self._runtime, self._paths = runtime, paths

    async def pod(self, state: PodState) -> None:
        """Thin out the dead containers and sandboxes of a live pod. Raises RuntimeCallError."""
        for container in plan_containers(state):
            await self._remove(container)
        for sandbox_id in plan_sandboxes(state):
            await self._runtime.remove_pod_sandbox(sandbox_id)

    async def ended_pod(self, state: PodState) -> None:
        """Remove everything of a pod that has ended: the disk is full. Raises RuntimeCallError."""
        for container in state.containers:
            if container.state is not State.RUNNING:
                await self._remove(container)
        for box in state.sandboxes:
            if not box.ready:
                with contextlib.suppress(RuntimeCallError):
                    await self._runtime.remove_pod_sandbox(box.id)

    async def _remove(self, container: ContainerState) -> None:
        """Remove a container that does not run, and first its logs, rotated ones too."""
        if container.log_path:
            path = Path(container.log_path)
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink(missing_ok=True)
        await self._runtime.remove_container(container.id)

    def logs(self, alive: set[str]) -> None:
        """Delete the log directories of pods that are gone, and symlinks that lead nowhere. alive: uids."""
        if self._paths.pod_logs.is_dir():
            for folder in self._paths.pod_logs.iterdir():
                parts = folder.name.split("_")
                if len(parts) == 3 and parts[2] not in alive:
                    shutil.rmtree(folder, ignore_errors=True)
        if self._paths.container_logs.is_dir():
            for link in self._paths.container_logs.iterdir():
                if link.is_symlink() and not link.exists() and str(self._paths.pod_logs) in str(link.readlink()):
                    with contextlib.suppress(OSError):
                        link.unlink()
