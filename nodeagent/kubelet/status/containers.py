"""containerStatuses as upstream words them (kubelet_pods.go: convertToAPIContainerStatuses)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apimachinery.meta import times
from nodeagent.kubelet import pods
from nodeagent.kubelet.environment import ConfigProblem
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.runtime.render import is_recursive
from nodeagent.kubelet.runtime.state import ContainerState, PodState, State

from .ending import VANISHED

Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerView:
    """What besides the runtime decides a container's status.

    waiting: the last start problem by container name. ready, started: by container state, as the probes say.
    recursive: whether the runtime makes what is below a read-only mount read-only too. users: whether they are shown.
    """

    waiting: Mapping[str, Waiting]
    ready: Callable[[Container, ContainerState], bool]
    started: Callable[[Container, ContainerState], bool]
    recursive: bool = False
    users: bool = False


_EPOCH = datetime.fromtimestamp(0, UTC)


def running_or_ended(state: ContainerState) -> dict[str, Any]:
    """The `state` of a container that the runtime knows."""
    if state.state is State.RUNNING:
        return {"running": {"startedAt": times.rfc3339(state.started_at)} if state.started_at else {}}
    if state.state is State.CREATED:
        return {"waiting": {"reason": "ContainerCreating"}}
    if state.state is State.EXITED:
        ended: dict[str, Any] = {"exitCode": state.exit_code, "containerID": state.container_id}
        if state.reason:
            ended["reason"] = state.reason
        if state.message:
            ended["message"] = state.message
        # Of what never started the runtime says 0, which is a time, too (toKubeContainerStatus).
        ended["startedAt"] = times.rfc3339(state.started_at or _EPOCH)
        ended["finishedAt"] = times.rfc3339(state.finished_at or _EPOCH)
        return {"terminated": ended}
    return {"waiting": {}}


def compute_containers(
    pod: Pod,
    containers: Sequence[Container],
    state: PodState,
    previous: Mapping[str, Status],
    view: ContainerView,
    *,
    is_init: bool,
    terminal: bool,
) -> list[Status]:
    """The statuses of `containers`, in the spec's order.

    previous: by name, what the API last showed. terminal: no container will be started any more.
    """
    default = Waiting("PodInitializing") if pods.init_containers(pod) else Waiting("ContainerCreating")
    result = []
    for container in containers:
        name = container["name"]
        latest, before, old = state.latest(name), state.previous(name), previous.get(name)
        status: Status = {
            "name": name,
            "image": container.get("image", ""),
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "started": False,
        }
        if mounts := [_mount(asked, view.recursive) for asked in container.get("volumeMounts") or ()]:
            status["volumeMounts"] = mounts
        if latest is None:
            _absent(status, old, default, deleted=bool(pod["metadata"].get("deletionTimestamp")))
        else:
            _present(status, container, latest, before, old, view, is_init)
        problem = view.waiting.get(name)
        if problem and not terminal and _may_wait(pod, container, latest):
            if latest is not None and latest.state is State.EXITED:
                status["lastState"] = running_or_ended(latest)
            status["state"] = {"waiting": _waiting(problem)}
            status["ready"] = False
            status["started"] = False
        status.setdefault("lastState", {})
        result.append(status)
    return result


def shorten_messages(statuses: Sequence[Status], limit: int) -> None:
    """Cut the last words of containers to `limit` bytes, in place."""
    for status in statuses:
        for key in ("state", "lastState"):
            ended = (status.get(key) or {}).get("terminated") or {}
            if len(words := ended.get("message", "").encode()) > limit:
                status[key] = {"terminated": {**ended, "message": words[:limit].decode(errors="ignore")}}


def _mount(asked: Mapping[str, Any], recursive: bool) -> dict[str, Any]:
    """How a volume is mounted (KEP-3857): of a read-only mount, whether it is so all the way down."""
    shown: dict[str, Any] = {"mountPath": asked["mountPath"], "name": asked["name"]}
    if asked.get("readOnly"):
        try:
            whole = is_recursive(asked, supported=recursive)
        except ConfigProblem:
            whole = False
        shown |= {"readOnly": True, "recursiveReadOnly": "Enabled" if whole else "Disabled"}
    return shown


def _waiting(why: Waiting) -> dict[str, str]:
    return {"reason": why.reason, **({"message": why.message} if why.message else {})}


def _may_wait(pod: Pod, container: Container, latest: ContainerState | None) -> bool:
    """A start problem is shown only for a container that is to be started."""
    if latest is None or latest.state in (State.CREATED, State.UNKNOWN):
        return True
    if latest.state is State.RUNNING:
        return False
    policy = "Always" if pods.is_sidecar(container) else pods.restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and latest.exit_code != 0)


def _absent(status: Status, old: Status | None, default: Waiting, *, deleted: bool) -> None:
    """The runtime has no such container: not yet, or not any more."""
    if old is not None:
        state, past = old.get("state") or {}, old.get("lastState") or {}
        status["restartCount"] = old.get("restartCount", 0)
        if "terminated" in state:
            # It ended and has been removed since: what was known stays known.
            status |= {key: old[key] for key in ("image", "imageID", "containerID") if key in old}
            status |= {"state": state, "lastState": past}
            return
        if "running" in state:
            past = past if "terminated" in past else {"terminated": dict(VANISHED)}
            status["restartCount"] += not deleted
        status["lastState"] = past
    status["state"] = {"waiting": _waiting(default)}


def _present(
    status: Status,
    container: Container,
    latest: ContainerState,
    before: ContainerState | None,
    old: Status | None,
    view: ContainerView,
    is_init: bool,
) -> None:
    status |= {
        "state": running_or_ended(latest),
        "image": latest.image or status["image"],
        "imageID": latest.image_id,
        "containerID": latest.container_id,
        "restartCount": latest.restart_count,
    }
    if view.users and latest.user is not None:
        # As its first process began, whatever it has become since (KEP-3619).
        uid, gid, groups = latest.user
        linux = {"uid": uid, "gid": gid, **({"supplementalGroups": list(groups)} if groups else {})}
        status["user"] = {"linux": linux}
    if latest.state is State.UNKNOWN and old is not None:
        status["state"] = old.get("state") or {"waiting": {}}
    if before is not None and before.state is State.EXITED:
        status["lastState"] = running_or_ended(before)
    elif old is not None and old.get("containerID") == latest.container_id:
        status["lastState"] = old.get("lastState") or {}
    elif old is not None and (old.get("state") or {}).get("terminated"):
        status["lastState"] = old["state"]
    running = latest.state is State.RUNNING
    sidecar = pods.is_sidecar(container)
    if is_init and not sidecar:
        ended = (status["state"].get("terminated") or {}).get("exitCode")
        status["ready"] = ended == 0
        status["started"] = running
    else:
        status["started"] = running and view.started(container, latest)
        status["ready"] = running and status["started"] and view.ready(container, latest)
