"""The phase and the conditions (kubelet_pods.go: getPhase; pkg/kubelet/status/generate.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from .ending import never_ran

Status = Mapping[str, Any]


def compute_phase(pod: Pod, init: Sequence[Status], regular: Sequence[Status], *, terminal: bool) -> str:
    """Pending, Running, Succeeded or Failed. terminal: the pod has been ended and nothing runs any more."""
    by_name = {status["name"]: status for status in init}
    pending_init = failed_init = False
    for container in pods.init_containers(pod):
        status = by_name.get(container["name"])
        if pods.is_sidecar(container):
            if status is None or not (status.get("started") or _ended(status)):
                pending_init = True
            continue
        code = _ended(status)
        last = ((status or {}).get("lastState") or {}).get("terminated")
        if code is not None:
            # Nothing will come of a pod one of whose init containers counts as failed (actions), whatever it says.
            failed_init = failed_init or code != 0 or _reason(status) == "OOMKilled"
        elif status is None or not ((status.get("state") or {}).get("waiting") and last and last.get("exitCode") == 0):
            pending_init = True
    running = waiting = unknown = stopped = succeeded = 0
    for status in regular:
        state = status.get("state") or {}
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"].get("exitCode") == 0
        elif "waiting" in state:
            if (status.get("lastState") or {}).get("terminated"):
                stopped += 1
            else:
                waiting += 1
        else:
            unknown += 1
    policy = pods.restart_policy(pod)
    if failed_init and policy == "Never":
        return "Failed"
    if (pending_init or failed_init) and not terminal and not running and not stopped:
        return "Pending"
    if waiting and not terminal:
        return "Pending"
    if running and not unknown:
        return "Running"
    if (stopped or terminal) and not running:
        if policy == "Always" and not terminal:
            return "Running"
        if stopped == succeeded and not waiting and stopped:
            return "Succeeded"
        if policy == "Never" or terminal:
            return "Failed"
        return "Running"
    return "Pending"


def _reason(status: Status | None) -> str:
    ended = ((status or {}).get("state") or {}).get("terminated") or {}
    return str(ended.get("reason", ""))


def _ended(status: Status | None) -> int | None:
    ended = ((status or {}).get("state") or {}).get("terminated")
    return int(ended.get("exitCode", 0)) if ended else None


def compute_conditions(
    pod: Pod,
    phase: str,
    init: Sequence[Status],
    regular: Sequence[Status],
    *,
    sandbox_ready: bool,
    gates: Mapping[str, str],
) -> list[dict[str, str]]:
    """PodReadyToStartContainers, Initialized, Ready, ContainersReady, PodScheduled, without transition times.

    gates: the status of the readiness gates' conditions.
    """
    done = phase == "Succeeded"
    containers_ready = _containers_ready(pod, phase, init, regular)
    ready = dict(containers_ready)
    if ready["status"] == "True":
        unready = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
        messages = []
        for gate in unready:
            if gate not in gates:
                messages.append(f'corresponding condition of pod readiness gate "{gate}" does not exist.')
            elif gates[gate] != "True":
                messages.append(f'the status of pod readiness gate "{gate}" is not "True", but {gates[gate]}')
        if messages:
            ready = {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(messages)}
    return [
        {"type": "PodReadyToStartContainers", "status": str(sandbox_ready and not done)},
        {"type": "Initialized", **_initialized(pod, phase, init, regular)},
        {"type": "Ready", **ready},
        {"type": "ContainersReady", **containers_ready},
        {"type": "PodScheduled", "status": "True"},
    ]


def has_begun(regular: Sequence[Status]) -> bool:
    """Whether any regular container has started: then the pod is initialized, whatever its sidecars do since."""
    return any(
        "running" in status["state"] or ("terminated" in status["state"] and not never_ran(status))
        for status in regular
    )


def _initialized(pod: Pod, phase: str, init: Sequence[Status], regular: Sequence[Status]) -> dict[str, str]:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if has_begun(regular):
        return {"status": "True"}
    sidecars = {c["name"] for c in pods.init_containers(pod) if pods.is_sidecar(c)}
    missing = [
        status["name"]
        for status in init
        if not (status.get("started") if status["name"] in sidecars else status.get("ready"))
    ]
    if missing:
        names = " ".join(missing)
        reason = "ContainersNotInitialized"
        return {"status": "False", "reason": reason, "message": f"containers with incomplete status: [{names}]"}
    return {"status": "True"}


def _containers_ready(pod: Pod, phase: str, init: Sequence[Status], regular: Sequence[Status]) -> dict[str, str]:
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    sidecars = {c["name"] for c in pods.init_containers(pod) if pods.is_sidecar(c)}
    counted = [*(status for status in init if status["name"] in sidecars), *regular]
    unready = [status["name"] for status in counted if not status.get("ready")]
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return {"status": "False", "reason": "ContainersNotReady", "message": message}
    return {"status": "True"}
