"""What is shown of the containers of a pod that has been ended (status_manager.go: TerminatePod).

Nobody is to take a container for done, or for still to come, of which nothing is known: it counts as failed. A pod that
never came past its init containers keeps its regular containers waiting, for the init containers say enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

Status = dict[str, Any]

_REASON = "ContainerStatusUnknown"
LOST = {
    "exitCode": 137,
    "reason": _REASON,
    "message": "The container could not be located when the pod was terminated",
    "startedAt": None,
    "finishedAt": None,
}
VANISHED = {
    **LOST,
    "message": "The container could not be located when the pod was deleted.  The container used to be Running",
}


def end_containers(pod: Pod, init: Sequence[Status], regular: Sequence[Status], previous: Mapping[str, Any]) -> None:
    """Give every container an end, in place. previous: the status last shown."""
    before = previous.get("initContainerStatuses") or (), previous.get("containerStatuses") or ()
    if _is_initialized(pod, init, regular) or _is_initialized(pod, *before):
        _end(regular)
    _end(_begun(init))


def never_ran(status: Mapping[str, Any]) -> bool:
    """Whether a container has an end for want of a beginning."""
    ended = (status.get("state") or {}).get("terminated") or {}
    past = (status.get("lastState") or {}).get("terminated")
    return ended.get("reason") == _REASON and not status.get("containerID") and not past


def _end(statuses: Sequence[Status]) -> None:
    for status in statuses:
        if "terminated" not in status["state"]:
            status["state"] = {"terminated": dict(LOST)}


def _is_initialized(pod: Pod, init: Sequence[Mapping[str, Any]], regular: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the regular containers had their turn."""
    spec = pods.init_containers(pod)
    if not spec or any(_has_begun(status) for status in regular):
        return True
    last = next((status for status in init if status["name"] == spec[-1]["name"]), None)
    if last is None:
        return False
    if pods.is_sidecar(spec[-1]):
        return "running" in (last.get("state") or {}) and bool(last.get("started"))
    ends = ((last.get(key) or {}).get("terminated") for key in ("state", "lastState"))
    return any(end is not None and end.get("exitCode") == 0 for end in ends)


def _begun(init: Sequence[Status]) -> Sequence[Status]:
    """Of the init containers those up to the last that has begun; the first in any case."""
    last = max((index for index, status in enumerate(init) if _has_begun(status)), default=0)
    return init[: last + 1]


def _has_begun(status: Mapping[str, Any]) -> bool:
    return "waiting" not in (status.get("state") or {}) or "terminated" in (status.get("lastState") or {})
