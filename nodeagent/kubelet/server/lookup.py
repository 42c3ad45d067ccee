"""Which container a request means, and which of its lives (kubelet_pods.go: validateContainerLogStatus)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod


class NotThere(Exception):
    """status: of the answer. The text is its body."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


def container_status(pod: Pod, status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The status of the pod's container `name`. Raises NotThere."""
    found = pods.find_container(pod, name)
    if found is None:
        raise NotThere(404, f'container "{name}" not found in pod "{pod["metadata"]["name"]}"\n')
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(key) or ():
            if entry["name"] == name:
                listed: Mapping[str, Any] = entry
                return listed
    raise NotThere(400, f'container "{name}" in pod "{pod["metadata"]["name"]}" is not available')


def container_for_logs(pod: Pod, status: Mapping[str, Any], name: str, *, previous: bool) -> str:
    """The id of the container whose log is asked for. Raises NotThere with upstream's words."""
    entry, pod_name = container_status(pod, status, name), pod["metadata"]["name"]
    state, last = entry.get("state") or {}, (entry.get("lastState") or {}).get("terminated") or {}
    if previous:
        if not last.get("containerID"):
            raise NotThere(400, f'previous terminated container "{name}" in pod "{pod_name}" not found')
        return _bare(last["containerID"])
    if "running" in state:
        return _bare(entry.get("containerID", ""))
    ended = state.get("terminated")
    # The container that was to follow may never have been made: then the one before it has the log.
    for known in (ended or {}, last):
        if known.get("containerID"):
            return _bare(known["containerID"])
    if ended is not None or last:
        raise NotThere(400, f'container "{name}" in pod "{pod_name}" is terminated')
    if "waiting" not in state:
        raise NotThere(400, f'container "{name}" in pod "{pod_name}" is waiting to start - no logs yet')
    reason = state["waiting"].get("reason") or ""
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        why = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
        raise NotThere(400, f'container "{name}" in pod "{pod_name}" is waiting to start: {why[reason]}')
    raise NotThere(400, f'container "{name}" in pod "{pod_name}" is waiting to start: {reason}')


def running_container(pod: Pod, status: Mapping[str, Any], name: str) -> str:
    """The id of the running container `name`. Raises NotThere."""
    try:
        entry = container_status(pod, status, name)
    except NotThere:
        entry = {}
    if "running" not in (entry.get("state") or {}):
        raise NotThere(500, f'container not found ("{name}")')
    return _bare(entry.get("containerID", ""))


def attached_container(pod: Pod, status: Mapping[str, Any], name: str) -> tuple[str, bool]:
    """The id of the running container `name`, and whether it has a terminal, whatever who attaches asks for.

    Raises NotThere."""
    try:
        running = running_container(pod, status, name)
    except NotThere:
        raise NotThere(500, f"container {name} not found in pod {pods.full_name(pod)}") from None
    found = pods.find_container(pod, name)
    return running, found is not None and bool(found[1].get("tty"))


def forwarded_ports(listed: Sequence[str]) -> list[int]:
    """The ports that a WebSocket client names in the query: each alone, or several with commas (NewV4Options).

    Raises NotThere 400 for what is no port."""
    found = []
    for text in (word for each in listed for word in each.split(",")):
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise NotThere(400, f'unable to parse "{text}" as a port: must be between 1 and 65535')
        found.append(int(text))
    return found


def _bare(container_id: str) -> str:
    return container_id.partition("://")[2]
