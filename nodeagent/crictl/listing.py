"""`crictl ps` and `crictl pods`, and choosing containers and pods by their filters."""

from __future__ import annotations

import time

from .client import get
from .complaints import Failed
from .rpc import CallFailed
from .tables import age, short, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .codec import Message
    from .options import Options
    from .session import Session

_CONTAINER_STATES = {
    "created": "CONTAINER_CREATED",
    "running": "CONTAINER_RUNNING",
    "exited": "CONTAINER_EXITED",
    "unknown": "CONTAINER_UNKNOWN",
}
STATE_WORDS = {name: word.capitalize() for word, name in _CONTAINER_STATES.items()}
_POD_STATES = {"ready": "SANDBOX_READY", "notready": "SANDBOX_NOTREADY"}
POD_STATE_WORDS = {"SANDBOX_READY": "Ready", "SANDBOX_NOTREADY": "NotReady"}
_POD_NAME, _POD_NAMESPACE = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"


def labels_of(listed: Sequence[str]) -> dict[str, str]:
    """`key=value` words as a map. Raises Failed."""
    found = {}
    for text in listed:
        key, sign, value = text.partition("=")
        if not sign or "=" in value:
            raise Failed(f"incorrectly specified label: {text}")
        found[key] = value
    return found


def matcher(pattern: str) -> Any:
    """A search for a pattern; everything matches "", and nothing what is no pattern, as upstream."""
    if not pattern:
        return lambda _: True
    import re

    try:
        return re.compile(pattern).search
    except re.error:
        return lambda _: False


def _first(found: list[Message], options: Options) -> list[Message]:
    """The newest of what was found, as many as --last or else --latest says."""
    found = sorted(found, key=lambda each: -int(each["created_at"]))
    count = options["last"] if options["last"] > 0 else int(options["latest"])
    return found[:count] if count else found


def list_containers(session: Session, options: Options) -> list[Message]:
    """The containers that the filters choose, newest first. Raises Failed, CallFailed."""
    wanted: dict[str, Any] = {"label_selector": labels_of(options["label"])}
    state = options["state"].lower()
    if state and state not in _CONTAINER_STATES:
        raise Failed("--state should be one of created, running, exited or unknown")
    values = options.given
    everything = ("all" in values and options["all"]) or options["latest"] or options["last"] > 0
    if state and not (options["latest"] or options["last"] > 0):
        wanted["state"] = {"state": _CONTAINER_STATES[state]}
    elif not everything:
        wanted["state"] = {"state": "CONTAINER_RUNNING"}
    for flag, name in (("id", "id"), ("pod", "pod_sandbox_id")):
        if flag in values:
            wanted[name] = options[flag]
    try:
        found = session.runtime.call("ListContainers", {"filter": wanted})["containers"]
    except CallFailed as error:
        raise Failed(f"call list containers RPC: {error}") from None
    named = matcher(options["name"])
    spaced = matcher(options["namespace"] if "namespace" in values else "")
    image = _image_id(session, options["image"]) if "image" in values else None
    chosen = [
        each
        for each in found
        if named(get(each, "metadata", "name") or "")
        and spaced(each["labels"].get(_POD_NAMESPACE, "unknown"))
        and (image is None or (image and _image_id(session, get(each, "image", "image") or "") == image))
    ]
    return _first(chosen, options)


def _image_id(session: Session, reference: str) -> str:
    """The id of the image that a reference names; "" when there is none."""
    answer = session.images.call("ImageStatus", {"image": {"image": reference}})
    return str(get(answer, "image", "id") or "")


def list_pods(session: Session, options: Options) -> list[Message]:
    """The sandboxes that the filters choose, newest first. Raises Failed, CallFailed."""
    wanted: dict[str, Any] = {"label_selector": labels_of(options["label"])}
    state = options["state"].lower()
    if state:
        if state not in _POD_STATES:
            raise Failed("--state should be ready or notready")
        wanted["state"] = {"state": _POD_STATES[state]}
    if "id" in options.given:
        wanted["id"] = options["id"]
    try:
        found = session.runtime.call("ListPodSandbox", {"filter": wanted})["items"]
    except CallFailed as error:
        raise Failed(f"call list sandboxes RPC: {error}") from None
    named, spaced = matcher(options["name"]), matcher(options["namespace"])
    return _first(
        [
            each
            for each in found
            if named(get(each, "metadata", "name") or "") and spaced(get(each, "metadata", "namespace") or "")
        ],
        options,
    )


def ps(options: Options, session: Session) -> int:
    """`crictl ps`."""
    if options.arguments:
        return session.help()
    try:
        found = list_containers(session, options)
    except (Failed, CallFailed) as error:
        raise Failed(f"listing containers: list containers: {error}") from None
    form = options["output"]
    if _printed_whole("ListContainersResponse", "containers", found, form):
        return 0
    if options["quiet"]:
        print("".join(f"{each['id']}\n" for each in found), end="")
        return 0
    if options["verbose"]:
        for each in found:
            print("\n".join(_container_lines(each)) + "\n")
        return 0
    rows = [("CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE")]
    for each in found:
        whole, image = options["no-trunc"], get(each, "image", "image") or ""
        if options["resolve-image-path"]:
            status = session.images.call("ImageStatus", {"image": {"image": image}})
            image = (get(status, "image", "repo_tags") or [image])[0]
        elif not whole and image.startswith(("sha256:", "sha512:")):
            image = short(image, image[:7])
        rows.append(
            (
                each["id"] if whole else short(each["id"]),
                image,
                ago(each["created_at"]),
                STATE_WORDS[each["state"]],
                get(each, "metadata", "name") or "",
                str(get(each, "metadata", "attempt") or 0),
                each["pod_sandbox_id"] if whole else short(each["pod_sandbox_id"]),
                each["labels"].get(_POD_NAME, "unknown"),
                each["labels"].get(_POD_NAMESPACE, "unknown"),
            )
        )
    print(table(rows), end="")
    return 0


def pods(options: Options, session: Session) -> int:
    """`crictl pods`."""
    try:
        found = list_pods(session, options)
    except (Failed, CallFailed) as error:
        raise Failed(f"listing pod sandboxes: list pod sandboxes: {error}") from None
    if _printed_whole("ListPodSandboxResponse", "items", found, options["output"]):
        return 0
    if options["quiet"]:
        print("".join(f"{each['id']}\n" for each in found), end="")
        return 0
    if options["verbose"]:
        for each in found:
            print("\n".join(_pod_lines(each)) + "\n")
        return 0
    rows = [("POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME")]
    rows += [
        (
            each["id"] if options["no-trunc"] else short(each["id"]),
            ago(each["created_at"]),
            POD_STATE_WORDS[each["state"]],
            get(each, "metadata", "name") or "",
            get(each, "metadata", "namespace") or "",
            str(get(each, "metadata", "attempt") or 0),
            each["runtime_handler"] or "(default)",
        )
        for each in found
    ]
    print(table(rows), end="")
    return 0


def _printed_whole(message: str, field: str, found: list[Message], form: str) -> bool:
    if form == "table":
        return False
    from .output import print_message

    if not print_message(message, {field: found}, form):
        raise Failed(f'unsupported output format "{form}"')
    return True


def ago(nanoseconds: int) -> str:
    """How long a moment is ago."""
    return age(time.time() - nanoseconds / 1e9) + " ago"


def moment(nanoseconds: int) -> str:
    """A moment as Go's %v shows it: `2026-11-21 09:06:17.123456789 +0000 UTC`."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    local = time.localtime(seconds)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%d %H:%M:%S", local) + digits + time.strftime(" %z %Z", local)


def map_lines(title: str, pairs: Mapping[str, str]) -> list[str]:
    """Labels or annotations, sorted, one a line; nothing when there are none."""
    return [f"{title}:", *(f"\t{key} -> {pairs[key]}" for key in sorted(pairs))] if pairs else []


def _container_lines(each: Message) -> list[str]:
    lines = [f"ID: {each['id']}", f"PodID: {each['pod_sandbox_id']}"]
    lines.append(f"Namespace: {each['labels'].get(_POD_NAMESPACE, 'unknown')}")
    if get(each, "metadata", "name"):
        lines.append(f"Name: {each['metadata']['name']}")
    lines.append(f"Attempt: {get(each, 'metadata', 'attempt') or 0}")
    lines.append(f"State: {STATE_WORDS[each['state']]}")
    lines.append(f"Image: {get(each, 'image', 'image') or ''}")
    lines.append(f"Created: {ago(each['created_at'])}")
    return lines + map_lines("Labels", each["labels"]) + map_lines("Annotations", each["annotations"])


def _pod_lines(each: Message) -> list[str]:
    metadata = each.get("metadata") or {}
    lines = [f"ID: {each['id']}"]
    for title, key in (("Name", "name"), ("UID", "uid"), ("Namespace", "namespace"), ("Attempt", "attempt")):
        if metadata.get(key):
            lines.append(f"{title}: {metadata[key]}")
    lines += [f"Status: {POD_STATE_WORDS[each['state']]}", f"Created: {moment(each['created_at'])}"]
    lines += map_lines("Labels", each["labels"]) + map_lines("Annotations", each["annotations"])
    return [*lines, f"Runtime: {each['runtime_handler'] or '(default)'}"]
