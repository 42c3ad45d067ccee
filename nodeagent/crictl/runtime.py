"""`crictl version`, `info`, `runtime-config` and `events`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codec import to_json
from .complaints import Failed
from .output import print_message, print_statuses, status_entry
from .rpc import CallFailed

if TYPE_CHECKING:
    from .options import Options
    from .session import Session


def version(options: Options, session: Session) -> int:
    """`crictl version`."""
    if options.arguments:
        return session.help()
    try:
        answer = session.runtime.call("Version", {"version": "v1"})
    except CallFailed as error:
        raise Failed(f"getting the runtime version: {error}") from None
    print("Version: ", answer["version"])
    print("RuntimeName: ", answer["runtime_name"])
    print("RuntimeVersion: ", answer["runtime_version"])
    print("RuntimeApiVersion: ", answer["runtime_api_version"])
    return 0


def info(options: Options, session: Session) -> int:
    """`crictl info`."""
    if options.arguments:
        return session.help()
    try:
        answer = session.runtime.call("Status", {"verbose": not options["quiet"]})
    except CallFailed as error:
        raise Failed(f"getting status of runtime: {error}") from None
    entry = status_entry("RuntimeStatus", answer.get("status") or {}, answer["info"])
    if answer["runtime_handlers"]:
        entry["runtimeHandlers"] = [to_json("RuntimeHandler", handler) for handler in answer["runtime_handlers"]]
    if answer.get("features"):
        entry["features"] = to_json("RuntimeFeatures", answer["features"])
    print_statuses([entry], options["output"], options["template"])
    return 0


def runtime_config(options: Options, session: Session) -> int:
    """`crictl runtime-config`."""
    try:
        answer = session.runtime.call("RuntimeConfig")
    except CallFailed as error:
        raise Failed(f"get runtime config: call RuntimeConfig RPC: {error}") from None
    if answer.get("linux") is not None:
        print(f"cgroup driver:   {answer['linux']['cgroup_driver']}")
    return 0


def events(options: Options, session: Session) -> int:
    """`crictl events`: one after the other, until interrupted."""
    form = options["output"]
    if options.arguments:
        return session.help()
    if form not in ("json", "yaml", "go-template"):
        raise Failed(f'don\'t support "{form}" format')
    if form != "go-template" and options["template"]:
        raise Failed(f'template can\'t be used with "{form}" format')
    try:
        for event in session.runtime.events():
            if not print_message("ContainerEventResponse", event, form):
                from .template import execute

                print(execute(options["template"], to_json("ContainerEventResponse", event)))
    except CallFailed as error:
        raise Failed(f"getting container events: {error}") from None
    return 0
