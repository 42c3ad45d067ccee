"""`crictl inspect` and `crictl inspectp`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .client import get
from .complaints import Failed, say
from .listing import ago, list_containers, list_pods, map_lines, moment
from .output import info_line, print_statuses, status_entry
from .rpc import CallFailed

if TYPE_CHECKING:
    from .codec import Message
    from .options import Options
    from .session import Session

_NEVER = "0001-01-01T00:00:00Z"


def rfc3339(nanoseconds: int) -> str:
    """A moment with nanoseconds, in the machine's time zone."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + digits + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def inspect(options: Options, session: Session) -> int:
    """`crictl inspect`."""
    ids = options.arguments
    if not ids:
        try:
            ids = [each["id"] for each in list_containers(session, options)]
        except (Failed, CallFailed) as error:
            raise Failed(f"listing containers: {error}") from None
    return _statuses(session, options, ids, "ContainerStatus", "container_id", "containers", "container")


def inspectp(options: Options, session: Session) -> int:
    """`crictl inspectp`."""
    ids = options.arguments
    if not ids:
        try:
            ids = [each["id"] for each in list_pods(session, options)]
        except (Failed, CallFailed) as error:
            raise Failed(f"listing pod sandboxes: {error}") from None
    return _statuses(session, options, ids, "PodSandboxStatus", "pod_sandbox_id", "pod sandboxes", "pod sandbox")


def _statuses(
    session: Session, options: Options, ids: list[str], call: str, key: str, plural: str, singular: str
) -> int:
    if not ids:
        say("error", "No IDs provided or nothing found per filter")
        return session.help()
    form, verbose = options["output"] or "json", not options["quiet"]
    found: list[dict[str, Any]] = []
    for each in ids:
        try:
            answer = session.runtime.call(call, {key: each, "verbose": verbose})
        except CallFailed as error:
            raise Failed(f"get the status of {plural}: get {singular} status: {error}") from None
        status = answer.get("status") or {}
        if form == "table":
            print("\n".join(_container(status) if call == "ContainerStatus" else _pod(status)))
            if verbose:
                print(info_line(answer["info"]))
            continue
        entry = status_entry(call, status, answer["info"])
        entry["status"] |= _times(call, status)
        found.append(entry)
    print_statuses(found, form, options["template"])
    return 0


def _times(call: str, status: Message) -> dict[str, str]:
    """The moments of a status, readable."""
    times = {"createdAt": rfc3339(status["created_at"])}
    if call == "ContainerStatus":
        state, finished = status["state"], status["finished_at"]
        ended = state == "CONTAINER_EXITED" or (state == "CONTAINER_UNKNOWN" and finished > 0)
        times["startedAt"] = _NEVER if state == "CONTAINER_CREATED" else rfc3339(status["started_at"])
        times["finishedAt"] = rfc3339(finished) if ended else _NEVER
    return times


def _container(status: Message) -> list[str]:
    lines = [f"ID: {status['id']}"]
    if get(status, "metadata", "name"):
        lines.append(f"Name: {status['metadata']['name']}")
    if get(status, "metadata", "attempt"):
        lines.append(f"Attempt: {status['metadata']['attempt']}")
    lines += [f"State: {status['state']}", f"Created: {ago(status['created_at'])}"]
    if status["state"] != "CONTAINER_CREATED":
        lines.append(f"Started: {ago(status['started_at'])}")
    if status["state"] == "CONTAINER_EXITED":
        if status["finished_at"] > 0:
            lines.append(f"Finished: {ago(status['finished_at'])}")
        lines.append(f"Exit Code: {status['exit_code']}")
    return lines + map_lines("Labels", status["labels"]) + map_lines("Annotations", status["annotations"])


def _pod(status: Message) -> list[str]:
    metadata = status.get("metadata") or {}
    lines = [f"ID: {status['id']}"]
    for title, key in (("Name", "name"), ("UID", "uid"), ("Namespace", "namespace")):
        if metadata.get(key):
            lines.append(f"{title}: {metadata[key]}")
    lines += [f"Attempt: {metadata.get('attempt', 0)}", f"Status: {status['state']}"]
    lines.append(f"Created: {moment(status['created_at'])}")
    if status.get("network"):
        lines.append(f"IP Addresses: {status['network']['ip']}")
        lines += [f"Additional IP: {more['ip']}" for more in status["network"]["additional_ips"]]
    return lines + map_lines("Labels", status["labels"]) + map_lines("Annotations", status["annotations"])
