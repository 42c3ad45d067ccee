"""`crictl runp`, `stopp` and `rmp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .complaints import Failed, say
from .files import pod_config
from .rpc import CallFailed

if TYPE_CHECKING:
    from .options import Options
    from .session import Session


def run(options: Options, session: Session) -> int:
    """`crictl runp`: prints the sandbox's id."""
    if len(options.arguments) != 1:
        return session.help()
    print(start(session, options.arguments[0], options["runtime"], options["cancel-timeout"]))
    return 0


def start(session: Session, path: str, handler: str, patience: float = 0.0) -> str:
    """Run the sandbox that a file describes; its id. Raises Failed."""
    request = {"config": pod_config(path), "runtime_handler": handler}
    try:
        answer = session.runtime.call("RunPodSandbox", request, timeout=patience or None)
    except CallFailed as error:
        raise Failed(f"run pod sandbox: {error}") from None
    return str(answer["pod_sandbox_id"])


def stop(options: Options, session: Session) -> int:
    """`crictl stopp`."""
    if not options.arguments:
        return session.help()
    for each in options.arguments:
        _stop(session, each)
    return 0


def _stop(session: Session, each: str, sentence: str = 'stopping the pod sandbox "{}"') -> None:
    try:
        session.runtime.call("StopPodSandbox", {"pod_sandbox_id": each}, timeout=60)
    except CallFailed as error:
        raise Failed(f"{sentence.format(each)}: {error}") from None
    print(f"Stopped sandbox {each}")


def remove(options: Options, session: Session) -> int:
    """`crictl rmp`."""

    def one(each: str) -> None:
        try:
            status = session.runtime.call("PodSandboxStatus", {"pod_sandbox_id": each})["status"]
        except CallFailed as error:
            raise Failed(f'getting sandbox status of pod "{each}": {error}') from None
        if status["state"] == "SANDBOX_READY":
            if not options["force"]:
                raise Failed(f'pod sandbox "{each}" is running, please stop it first')
            _stop(session, each, 'stopping the pod sandbox "{}" failed')
        try:
            session.runtime.call("RemovePodSandbox", {"pod_sandbox_id": each}, timeout=60)
        except CallFailed as error:
            raise Failed(f'removing the pod sandbox "{each}": {error}') from None
        print(f"Removed sandbox {each}")

    return for_chosen(options, session, "pods", lambda: session.runtime.call("ListPodSandbox")["items"], one)


def for_chosen(
    options: Options, session: Session, what: str, everything: Callable[[], Any], one: Callable[[str], None]
) -> int:
    """`for_each` of the ids on the command line, or with --all of everything; help where neither is given."""
    if options["all"]:
        ids = [each["id"] for each in everything()]
        if not ids:
            say("info", f"No {what} to remove")
        return for_each(ids, one)
    return for_each(options.arguments, one) if options.arguments else session.help()


def for_each(ids: list[str], one: Callable[[str], None]) -> int:
    """Do one after the other; what fails is told at the end, together. Raises Failed."""
    problems = []
    for each in ids:
        try:
            one(each)
        except Failed as error:
            problems.append(str(error))
    if problems:
        raise Failed(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return 0
