"""Grants resizes one after the other, remembers them on disk, and brings the cgroups of running containers to them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apimachinery.kit.files import write_atomic
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet import pods, qos
from nodeagent.kubelet.cgroups import Applied, Cgroups
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.runtime.state import ContainerState, PodState, State
from nodeagent.kubelet.runtime.swap import Swap

from . import plan
from .plan import Resources

log = logging.getLogger(__name__)


class Resizer:
    """others: every pod that has a place on the node. allocatable: of the node; cpu in millicores.

    show_allocated: the gate InPlacePodVerticalScalingAllocatedStatus.
    """

    def __init__(
        self,
        runtime: RuntimeService,
        cgroups: Cgroups,
        paths: Paths,
        others: Callable[[], Sequence[Pod]],
        allocatable: Callable[[], Mapping[str, int]],
        *,
        cpu_quota: bool,
        swap: Swap,
        show_allocated: bool = False,
    ) -> None:
        self._swap, self._show_allocated = swap, show_allocated
        self._runtime, self._cgroups, self._paths = runtime, cgroups, paths
        self._others, self._allocatable, self._cpu_quota = others, allocatable, cpu_quota
        self._held: dict[str, dict[str, Resources]] = {}

    def settle(self, pod: Pod) -> tuple[Pod, str]:
        """The pod as it may be run now, and the status of its resize: "", Deferred or Infeasible.

        What a pod starts with has passed admission. What was granted survives a restart of the agent. Raises OSError.
        """
        uid, asked = pods.uid(pod), plan.asked(pod)
        held = self._granted(uid)
        if held is None or held == asked:
            if held is None:
                self._grant(uid, asked)
            return pod, ""
        others = [self.granted(other) for other in self._others() if pods.uid(other) != uid]
        verdict = plan.judge(pod, others, self._allocatable())
        if verdict:
            return plan.granted(pod, held), verdict
        self._grant(uid, asked)
        return pod, ""

    def granted(self, pod: Pod) -> Pod:
        """The pod with what it has been granted; itself when it was never started here."""
        return plan.granted(pod, self._granted(pods.uid(pod)) or {})

    async def apply(self, pod: Pod, state: PodState) -> frozenset[str]:
        """Give running containers what `pod` says; returns the names of those that are to be restarted for it.

        Raises RuntimeCallError, OSError: memory is in use that is to be given up, for one.
        """
        if self._cgroups.pod_path(pods.uid(pod)) is None:
            return frozenset()
        changes = [
            (container, latest, have, want)
            for container, latest, have in self._running(pod, state)
            if have != (want := self._wanted(pod, container))
        ]
        restarts = {
            container["name"] for container, _, have, want in changes if plan.needs_restart(container, have, want)
        }
        if changes:
            # Between the old sum and the new one the pod's own limits would be in the way.
            await self._cgroups.lift_pod(pod)
        for container, latest, _, _ in changes:
            if container["name"] not in restarts:
                await self._runtime.update_resources(latest.id, self._resources(pod, container))
                log.info("Resized container %s of pod %s", container["name"], pods.describe(pod))
        if not restarts:
            await self._cgroups.update_pod(pod)
        return frozenset(restarts)

    def show(self, pod: Pod, state: PodState, statuses: Sequence[dict[str, Any]]) -> bool:
        """Write what every container has, and was granted, into its status; returns whether the two differ for some.

        statuses: of regular and of init containers.
        """
        by_name = {status["name"]: status for status in statuses}
        held = self.granted(pod)
        for container in (*pods.regular_containers(held), *pods.init_containers(held)):
            if (status := by_name.get(container["name"])) is not None and (resources := container.get("resources")):
                status["resources"] = resources
                if self._show_allocated and resources.get("requests") and state.latest(container["name"]) is not None:
                    status["allocatedResources"] = resources["requests"]
        behind = False
        for container, _, have in self._running(held, state):
            want = self._wanted(pod, container)
            behind = behind or have != want
            found = plan.shown(container, have, want, v2=self._cgroups.v2)
            # Present for every container that runs: so the API knows that this node can resize it.
            if (status := by_name.get(container["name"])) is not None:
                status["resources"] = found
        return behind

    def forget(self, uid: str) -> None:
        """The pod is gone; its folder is removed with it."""
        self._held.pop(uid, None)

    def _running(self, pod: Pod, state: PodState) -> list[tuple[Container, ContainerState, Applied]]:
        path = self._cgroups.pod_path(pods.uid(pod))
        found = []
        for container in pods.regular_containers(pod):
            latest = state.latest(container["name"])
            if path is not None and latest is not None and latest.state is State.RUNNING:
                have = self._cgroups.applied(path, latest.id)
                if have is not None:
                    found.append((container, latest, have))
        return found

    def _wanted(self, pod: Pod, container: Container) -> Applied:
        return plan.wanted(pod, container, v2=self._cgroups.v2, cpu_quota=self._cpu_quota)

    def _resources(self, pod: Pod, container: Container) -> cri.LinuxContainerResources:
        limits = qos.container_limits(container, cpu_quota=self._cpu_quota, pod=pod)
        resources = cri.LinuxContainerResources(
            cpu_period=limits.cpu_period if limits.cpu_quota else 0,
            cpu_quota=limits.cpu_quota,
            cpu_shares=limits.cpu_shares,
            memory_limit_in_bytes=limits.memory,
        )
        self._swap.apply(pod, container, resources)
        return resources

    def _file(self, uid: str) -> Path:
        return self._paths.pod(uid) / "resources.json"

    def _granted(self, uid: str) -> dict[str, Resources] | None:
        if uid not in self._held:
            try:
                self._held[uid] = json.loads(self._file(uid).read_text())
            except FileNotFoundError:
                return None
        return self._held[uid]

    def _grant(self, uid: str, resources: dict[str, Resources]) -> None:
        self._file(uid).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._file(uid), json.dumps(resources), 0o600)
        self._held[uid] = resources
