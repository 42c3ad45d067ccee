"""Keeping what is reserved from pods: limits on the cgroup of all pods and on the reserved daemons' own cgroups.

`enforceNodeAllocatable`: pods, system-reserved, kube-reserved (node_container_manager_linux.go).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from apimachinery.kit.clock import Clock
from nodeagent.kubelet import qos
from nodeagent.kubelet.qos import Limits

from .manager import Cgroups

log = logging.getLogger(__name__)

_EVERY = 60.0

Tell = Callable[[str, str, str], None]
"""An event about the Node: type, reason, message."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cgroup to be limited. cgroup: "" for that of all pods. pids: -1 for no limit. verb, done: of the sentences."""

    cgroup: str
    limits: Limits
    pids: int = -1
    verb: str = "update Node Allocatable Limits"
    done: str = "Updated Node Allocatable limit across pods"


def plan_enforcement(
    enforce: Sequence[str],
    *,
    capacity: Mapping[str, int],
    allocatable: Mapping[str, int],
    reserved: Mapping[str, tuple[str, Mapping[str, int]]],
) -> list[Wanted]:
    """What is to be limited. cpu in millicores, `pid` in processes, others in bytes.

    capacity, allocatable: of the cgroup of all pods; it gets the former when pods are not to be kept to the latter,
    since its weight must never be that of a new cgroup. reserved: `system` and `kube`, with their cgroups and amounts.
    """
    pods = allocatable if "pods" in enforce else capacity
    found = [Wanted("", qos.node_limits(pods), pods.get("pid", -1))]
    for who, (cgroup, amounts) in reserved.items():
        if f"{who}-reserved" in enforce:
            verb = f"enforce {who.capitalize()} Reserved Cgroup Limits on"
            done = f"Updated limits on {who} reserved cgroup {cgroup}"
            found.append(Wanted(cgroup, qos.node_limits(amounts), amounts.get("pid", -1), verb, done))
    return found


class Enforcer:
    """Applies them every minute: what the kernel refuses now (pods use more memory than that) it may take later."""

    def __init__(self, cgroups: Cgroups, wanted: Sequence[Wanted], tell: Tell, clock: Clock) -> None:
        self._cgroups, self._wanted, self._tell, self._clock = cgroups, wanted, tell, clock
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            for wanted in self._wanted:
                await self._apply(wanted)
            await self._clock.sleep(_EVERY)

    async def _apply(self, wanted: Wanted) -> None:
        try:
            if wanted.cgroup:
                await self._cgroups.enforce_existing(wanted.cgroup, wanted.limits, wanted.pids)
            else:
                await self._cgroups.enforce(wanted.limits, wanted.pids)
        except OSError as error:
            message = f'Failed to {wanted.verb} "{wanted.cgroup or self._cgroups.pods_path()}": {error}'
            self._say(wanted, "Warning", "FailedNodeAllocatableEnforcement", message)
            return
        self._say(wanted, "Normal", "NodeAllocatableEnforced", wanted.done)

    def _say(self, wanted: Wanted, kind: str, reason: str, message: str) -> None:
        if self._said.get(wanted.cgroup) != message:
            self._said[wanted.cgroup] = message
            log.log(logging.WARNING if kind == "Warning" else logging.INFO, message)
            self._tell(kind, reason, message)
