"""`crictl stats` and `crictl statsp`: two looks, some seconds apart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .client import get
from .complaints import Failed
from .listing import labels_of
from .output import print_message
from .rpc import CallFailed
from .tables import short, size, table

if TYPE_CHECKING:
    from .codec import Message
    from .options import Options
    from .session import Session

_CLEAR = "\x1b[2J\x1b[H"


def stats(options: Options, session: Session) -> int:
    """`crictl stats`."""
    return _show(options, session, "ListContainerStats", "get container stats")


def statsp(options: Options, session: Session) -> int:
    """`crictl statsp`."""
    return _show(options, session, "ListPodSandboxStats", "get pod stats")


def _show(options: Options, session: Session, call: str, what: str) -> int:
    if len(options.arguments) > 1:
        return session.help()
    wanted: dict[str, Any] = {"label_selector": labels_of(options["label"])}
    identifier = options["id"] or "".join(options.arguments)
    if identifier:
        wanted["id"] = identifier
    if "pod" in options.given:
        wanted["pod_sandbox_id"] = options["pod"]
    render = _containers if call == "ListContainerStats" else _pods

    def look() -> list[Message]:
        found: list[Message] = session.runtime.call(call, {"filter": wanted})["stats"]
        return sorted(found, key=lambda each: str(get(each, "attributes", "id")))

    try:
        while True:
            before = look()
            if print_message(f"{call}Response", {"stats": before}, options["output"]):
                return 0
            time.sleep(options["seconds"])
            print(_CLEAR + table(render(options, before, look())), end="", flush=True)
            if not options["watch"]:
                return 0
    except (CallFailed, Failed) as error:
        raise Failed(f"{what}: {error}") from None


def _number(each: Message, *path: str) -> int:
    return int(get(each, *path, "value") or 0)


def _share(now: Message, then: Message) -> str:
    """Per cent of one processor between two looks."""
    used = _number(now, "cpu", "usage_core_nano_seconds")
    if not used:
        return "0.00"
    duration = (get(now, "cpu", "timestamp") or 0) - (get(then, "cpu", "timestamp") or 0)
    if duration == 0:
        raise Failed("cpu stat is not updated during sample")
    return f"{(used - _number(then, 'cpu', 'usage_core_nano_seconds')) / duration * 100:.2f}"


def _containers(options: Options, before: list[Message], after: list[Message]) -> list[list[str]]:
    old = {get(each, "attributes", "id"): each for each in before}
    rows = [["CONTAINER", "NAME", "CPU %", "MEM", "DISK", "INODES", "SWAP"]]
    for each in after:
        identifier = get(each, "attributes", "id")
        memory = _number(each, "memory", "working_set_bytes")
        idle = not memory and not _number(each, "cpu", "usage_core_nano_seconds")
        if identifier not in old or (idle and not options["all"]):
            continue
        rows.append(
            [
                short(identifier),
                get(each, "attributes", "metadata", "name") or "",
                _share(each, old[identifier]),
                size(memory),
                size(_number(each, "writable_layer", "used_bytes")),
                str(_number(each, "writable_layer", "inodes_used")),
                size(_number(each, "swap", "swap_usage_bytes")),
            ]
        )
    return rows


def _pods(_: Options, before: list[Message], after: list[Message]) -> list[list[str]]:
    old = {get(each, "attributes", "id"): each.get("linux") or {} for each in before}
    rows = [["POD", "POD ID", "CPU %", "MEM"]]
    for each in after:
        identifier, linux = get(each, "attributes", "id"), each.get("linux") or {}
        memory = _number(linux, "memory", "working_set_bytes")
        if identifier in old and (memory or _number(linux, "cpu", "usage_core_nano_seconds")):
            name = get(each, "attributes", "metadata", "name") or ""
            rows.append([name, short(identifier), _share(linux, old[identifier]), size(memory)])
    return rows
