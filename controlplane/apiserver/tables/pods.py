"""Pods: the status column is a small language of its own (pkg/printers/internalversion, printPod)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.meta import pods as predicates
from controlplane.apiserver.tables.columns import NONE, Cell, Object, Printer, age, columns, name, since, spec, state


def print_pod(pod: Object, now: datetime) -> list[Cell]:
    """NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES."""
    status, pod_spec = state(pod), spec(pod)
    reason = status.get("reason") or status.get("phase") or ""
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    sidecars = {each["name"] for each in pod_spec.get("initContainers") or [] if each.get("restartPolicy") == "Always"}
    total, ready = len(pod_spec.get("containers") or []) + len(sidecars), 0
    init = _init(pod_spec, status, sidecars)
    restarts, last_restart = init.restarts, init.last_restart
    ready += init.ready_sidecars
    if init.reason:
        reason = init.reason
    if not init.reason or _initialized(status):
        restarts, last_restart = init.sidecar_restarts, init.sidecar_last_restart
        running = False
        for container in reversed(status.get("containerStatuses") or []):
            restarts += container.get("restartCount") or 0
            last_restart = max(last_restart, _finished(container))
            now_state = container.get("state") or {}
            waiting, terminated = now_state.get("waiting"), now_state.get("terminated")
            if waiting is not None and waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated is not None:
                reason = _terminated(terminated)
            elif container.get("ready") and now_state.get("running") is not None:
                running = True
                ready += 1
        if reason == "Completed" and running:
            ready_condition = predicates.condition(pod, "Ready")
            reason = "Running" if ready_condition and ready_condition.get("status") == "True" else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif not predicates.is_terminal(pod):
            reason = "Terminating"
    shown = str(restarts)
    if restarts and last_restart:
        shown = f"{restarts} ({since(last_restart, now)} ago)"
    ips = status.get("podIPs") or []
    gates = NONE
    if pod_spec.get("readinessGates"):
        wanted = [each["conditionType"] for each in pod_spec["readinessGates"]]
        true = sum(1 for kind in wanted if (predicates.condition(pod, kind) or {}).get("status") == "True")
        gates = f"{true}/{len(wanted)}"
    return [
        name(pod),
        f"{ready}/{total}",
        reason,
        shown,
        age(pod, now),
        (ips[0].get("ip") if ips else "") or NONE,
        pod_spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        gates,
    ]


class _Init:
    """What the init containers say."""

    def __init__(self) -> None:
        self.reason = ""
        self.restarts = self.sidecar_restarts = self.ready_sidecars = 0
        self.last_restart = self.sidecar_last_restart = ""


def _init(pod_spec: Any, status: Any, sidecars: set[str]) -> _Init:
    found = _Init()
    count = len(pod_spec.get("initContainers") or [])
    for position, container in enumerate(status.get("initContainerStatuses") or []):
        restarts, finished = container.get("restartCount") or 0, _finished(container)
        found.restarts += restarts
        found.last_restart = max(found.last_restart, finished)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            found.sidecar_restarts += restarts
            found.sidecar_last_restart = max(found.sidecar_last_restart, finished)
        now_state = container.get("state") or {}
        terminated, waiting = now_state.get("terminated"), now_state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            found.ready_sidecars += 1 if container.get("ready") else 0
            continue
        if terminated is not None:
            found.reason = "Init:" + _terminated(terminated)
        elif waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            found.reason = "Init:" + waiting["reason"]
        else:
            found.reason = f"Init:{position}/{count}"
        break
    return found


def _terminated(terminated: Any) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _finished(container: Any) -> str:
    last = (container.get("lastState") or {}).get("terminated") or {}
    return str(last.get("finishedAt") or "")


def _initialized(status: Any) -> bool:
    return any(
        each.get("type") == "Initialized" and each.get("status") == "True" for each in status.get("conditions") or []
    )


_COLUMNS = columns("Name, Ready, Status, Restarts, Age, IP*, Node*, Nominated Node*, Readiness Gates*")

_ENDS = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def completed(pod: Object) -> list[Object]:
    """The condition of a row whose pod has come to its end."""
    phase = state(pod).get("phase")
    if phase not in _ENDS:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDS[phase]}]


PRINTERS = {("", "Pod"): Printer(_COLUMNS, print_pod, completed)}
