"""`crictl create`, `run`, `start`, `stop`, `update` and `rm`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import sandboxes
from .client import get
from .complaints import Failed, say
from .files import container_config, pod_config
from .images import credentials, pull_image
from .rpc import CallFailed

if TYPE_CHECKING:
    from .codec import Message
    from .options import Options
    from .session import Session

_UPDATES = {
    "cpu-period": "cpu_period",
    "cpu-quota": "cpu_quota",
    "cpu-share": "cpu_shares",
    "memory": "memory_limit_in_bytes",
    "cpuset-cpus": "cpuset_cpus",
    "cpuset-mems": "cpuset_mems",
}


def create(options: Options, session: Session) -> int:
    """`crictl create`: prints the container's id."""
    if len(options.arguments) != 3:
        return session.help()
    _check_pulling(options)
    pod, config, sandbox = options.arguments
    pull = (session.settings.pull_image_on_create and not options["no-pull"]) or options["with-pull"]
    try:
        print(_create(session, options, pod, config, sandbox, pull=pull))
    except (Failed, CallFailed) as error:
        raise Failed(f"creating container: {error}") from None
    return 0


def run(options: Options, session: Session) -> int:
    """`crictl run`: a sandbox and a container in it, started; prints the container's id."""
    if len(options.arguments) != 2:
        return session.help()
    _check_pulling(options)
    config, sandbox = options.arguments
    pull = (not session.settings.disable_pull_on_run and not options["no-pull"]) or options["with-pull"]
    try:
        pod = sandboxes.start(session, sandbox, options["runtime"])
        try:
            container = _create(session, options, pod, config, sandbox, pull=pull)
        except (Failed, CallFailed) as error:
            raise Failed(f"creating container failed: {error}") from None
        _start(session, container)
    except Failed as error:
        raise Failed(f"running container: {error}") from None
    return 0


def _create(session: Session, options: Options, pod: str, config: str, sandbox: str, *, pull: bool) -> str:
    wanted, around = container_config(config), pod_config(sandbox)
    if pull:
        _pull(session, options, wanted, around)
    request = {"pod_sandbox_id": pod, "config": wanted, "sandbox_config": around}
    answer = session.runtime.call("CreateContainer", request, timeout=options["cancel-timeout"] or None)
    return str(answer["container_id"])


def _check_pulling(options: Options) -> None:
    """Before anything is made. Raises Failed."""
    if options["no-pull"] and options["with-pull"]:
        raise Failed("conflict: no-pull and with-pull are both set")


def _pull(session: Session, options: Options, wanted: Message, around: Message) -> None:
    """Pull the container's image, and those that are mounted into it."""
    auth, image = credentials(options), wanted["image"]
    say("info", f"Pulling container image: {image['image']}")
    names = [image["image"]]
    for mount in wanted.get("mounts") or ():
        if mounted := get(mount, "image", "image"):
            say("info", f"Pulling image {image['image']} to be mounted to container path: {mount['container_path']}")
            names.append(mounted)
    for name in names:
        pull_image(
            session,
            {"image": name, "annotations": image.get("annotations") or {}},
            auth,
            around,
            options["pull-timeout"],
        )


def start(options: Options, session: Session) -> int:
    """`crictl start`."""
    _needed(options)
    for each in options.arguments:
        _start(session, each)
    return 0


def _start(session: Session, each: str) -> None:
    try:
        session.runtime.call("StartContainer", {"container_id": each})
    except CallFailed as error:
        raise Failed(f'starting the container "{each}": {error}') from None
    print(each)


def stop(options: Options, session: Session) -> int:
    """`crictl stop`: waits until the container has ended."""
    _needed(options)
    for each in options.arguments:
        _stop(session, each, options["timeout"])
    return 0


def _stop(session: Session, each: str, grace: int) -> None:
    try:
        session.runtime.call("StopContainer", {"container_id": each, "timeout": grace}, timeout=grace + 10)
    except CallFailed as error:
        raise Failed(f'stopping the container "{each}": {error}') from None
    print(each)


def update(options: Options, session: Session) -> int:
    """`crictl update`: the limits of a running container."""
    _needed(options)
    resources: dict[str, Any] = {field: options[flag] for flag, field in _UPDATES.items() if flag in options.given}
    for each in options.arguments:
        try:
            session.runtime.call("UpdateContainerResources", {"container_id": each, "linux": resources})
        except CallFailed as error:
            raise Failed(f'updating container resources for "{each}": {error}') from None
        print(each)
    return 0


def remove(options: Options, session: Session) -> int:
    """`crictl rm`: the container and, unless they are to be kept, its logs."""

    def one(each: str) -> None:
        try:
            status = session.runtime.call("ContainerStatus", {"container_id": each})["status"]
        except CallFailed as error:
            raise Failed(f'getting container status "{each}": {error}') from None
        if status["state"] == "CONTAINER_RUNNING":
            if not options["force"]:
                raise Failed(f'container "{each}" is running, please stop it first')
            _stop(session, each, 0)
        try:
            session.runtime.call("RemoveContainer", {"container_id": each})
        except CallFailed as error:
            raise Failed(f'removing container "{each}": {error}') from None
        print(each)
        if not options["keep-logs"] and status["log_path"]:
            _remove_logs(each, status["log_path"])

    def everything() -> Any:
        return session.runtime.call("ListContainers")["containers"]

    return sandboxes.for_chosen(options, session, "containers", everything, one)


def _remove_logs(container: str, path: str) -> None:
    file = Path(path)
    rotated = [each for each in file.parent.iterdir() if each.name.startswith(f"{file.name}.")] if file.exists() else []
    for each in (*rotated, file):
        try:
            each.unlink()
        except OSError as error:
            reason = f"remove {each}: {(error.strerror or '').lower()}"
            say("error", f'removing log file {each} for container "{container}" failed: {reason}')


def _needed(options: Options) -> None:
    if not options.arguments:
        raise Failed("ID cannot be empty")
