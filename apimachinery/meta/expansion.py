"""What a claim's status says while its volume grows (KEP-284, KEP-1790; volume/util/resize_util.go). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apimachinery.meta import times
from apimachinery.meta.quantity import parse

Object = Mapping[str, Any]
Status = dict[str, Any]

RESIZING, PENDING = "Resizing", "FileSystemResizePending"
CONTROLLER_ERROR, NODE_ERROR = "ControllerResizeError", "NodeResizeError"
CONTROLLER_IN_PROGRESS, NODE_PENDING = "ControllerResizeInProgress", "NodeResizePending"
NODE_IN_PROGRESS, NODE_INFEASIBLE = "NodeResizeInProgress", "NodeResizeInfeasible"
_OURS = frozenset((RESIZING, PENDING, CONTROLLER_ERROR, NODE_ERROR))
_WAITING = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


def wants_more(claim: Object) -> bool:
    """Whether a bound claim asks for more than its status says that it has."""
    status, resources = claim.get("status") or {}, (claim.get("spec") or {}).get("resources") or {}
    asked = parse((resources.get("requests") or {}).get("storage") or "0")
    has = parse((status.get("capacity") or {}).get("storage") or "0")
    return status.get("phase") == "Bound" and asked > has


def state(claim: Object) -> str:
    """How far growing has come: status.allocatedResourceStatuses of storage, "" when nothing is under way."""
    return str(((claim.get("status") or {}).get("allocatedResourceStatuses") or {}).get("storage") or "")


def begun(claim: Object, size: str, now: datetime) -> Status:
    """The disk is about to grow to `size`."""
    return _marked(claim, CONTROLLER_IN_PROGRESS, {"type": RESIZING, "status": "True"}, now, size=size)


def waits_for_node(claim: Object, now: datetime) -> Status:
    """The disk has grown; its file system is to follow, where it is mounted."""
    return _marked(claim, NODE_PENDING, {"type": PENDING, "status": "True", "message": _WAITING}, now)


def failed(claim: Object, where: str, kind: str, message: str, now: datetime) -> Status:
    """It went wrong for now. where: what `state` says; kind: CONTROLLER_ERROR or NODE_ERROR."""
    return _marked(claim, where, {"type": kind, "status": "True", "message": message}, now)


def done(claim: Object, size: str) -> Status:
    """Everything is of the new size."""
    status = {key: each for key, each in (claim.get("status") or {}).items() if key != "allocatedResourceStatuses"}
    kept = [each for each in status.pop("conditions", None) or () if each.get("type") not in _OURS]
    status["capacity"] = {**(status.get("capacity") or {}), "storage": size}
    return {**status, "conditions": kept} if kept else status


def _marked(claim: Object, where: str, condition: Status, now: datetime, size: str = "") -> Status:
    """One condition of ours at a time: the last thing that happened."""
    status = dict(claim.get("status") or {})
    old = {each.get("type"): each for each in status.get("conditions") or ()}
    since = old.get(condition["type"], {}).get("lastTransitionTime") or times.rfc3339(now)
    kept = [each for kind, each in old.items() if kind not in _OURS]
    status["conditions"] = [*kept, {**condition, "lastTransitionTime": since}]
    status["allocatedResourceStatuses"] = {**(status.get("allocatedResourceStatuses") or {}), "storage": where}
    if size:
        status["allocatedResources"] = {**(status.get("allocatedResources") or {}), "storage": size}
    return status


def with_status(claim: Object, status: Status) -> dict[str, Any]:
    """The claim with another status, to be sent."""
    return {**claim, "status": status}
