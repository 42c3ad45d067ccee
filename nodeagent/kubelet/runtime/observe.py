"""Asking the runtime what it has of a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import ContainerNotFound

from . import labels
from .state import NOT_READY, READY, ContainerState, Fingerprint, PodState, SandboxState, State
from .termination import read_message

_Status = cri.PodSandboxStatus | cri.ContainerStatus
_Ask = Callable[[str], Awaitable[_Status]]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_STATES = {
    cri.CONTAINER_CREATED: State.CREATED,
    cri.CONTAINER_RUNNING: State.RUNNING,
    cri.CONTAINER_EXITED: State.EXITED,
    cri.CONTAINER_UNKNOWN: State.UNKNOWN,
}


async def observe_pod(runtime: RuntimeService, uid: str, expected: Fingerprint | None = None) -> PodState:
    """Everything the runtime has with this pod's uid. A container that vanishes meanwhile is left out.

    expected: what was seen before; it is asked about beside the listings, not after them.
    """
    selector = {labels.POD_UID: uid}
    asks: dict[str, _Ask] = {
        identity: runtime.pod_sandbox_status if state in (READY, NOT_READY) else runtime.container_status
        for identity, state in (expected or {}).items()
    }
    sandboxes, containers, found = await asyncio.gather(
        runtime.list_pod_sandboxes(selector), runtime.list_containers(selector), _answers(asks)
    )
    # What the listing shows otherwise than the answer beside it has changed between the two.
    late: dict[str, _Ask] = {box.id: runtime.pod_sandbox_status for box in sandboxes if _differs(box, found)}
    late |= {each.id: runtime.container_status for each in containers if _differs(each, found)}
    found |= await _answers(late)
    return pod_state(
        uid,
        [status for box in sandboxes if isinstance(status := found[box.id], cri.PodSandboxStatus)],
        [status for each in containers if isinstance(status := found[each.id], cri.ContainerStatus)],
        {container.id: container.pod_sandbox_id for container in containers},
    )


def _differs(listed: cri.PodSandbox | cri.Container, found: Mapping[str, _Status | None]) -> bool:
    status = found.get(listed.id)
    return status is None or status.state != listed.state


async def _answers(asks: Mapping[str, _Ask]) -> dict[str, _Status | None]:
    answers = await asyncio.gather(*(_or_none(ask, identity) for identity, ask in asks.items()))
    return dict(zip(asks, answers, strict=True))


async def _or_none(ask: _Ask, identity: str) -> _Status | None:
    try:
        return await ask(identity)
    except ContainerNotFound:
        return None


def pod_state(
    uid: str,
    sandboxes: Iterable[cri.PodSandboxStatus],
    containers: Iterable[cri.ContainerStatus],
    sandbox_of: dict[str, str],
) -> PodState:
    """The CRI's statuses as values, newest first."""
    boxes = sorted(sandboxes, key=lambda s: (s.metadata.attempt, s.created_at), reverse=True)
    known = sorted(containers, key=lambda c: (c.created_at, c.metadata.attempt), reverse=True)
    identity = boxes[0].metadata if boxes else None
    name = identity.name if identity else known[0].labels.get(labels.POD_NAME, "") if known else ""
    namespace = identity.namespace if identity else known[0].labels.get(labels.POD_NAMESPACE, "") if known else ""
    return PodState(
        uid=uid,
        name=name,
        namespace=namespace,
        sandboxes=tuple(sandbox_state(status) for status in boxes),
        containers=tuple(_container(status, sandbox_of.get(status.id, "")) for status in known),
    )


def sandbox_state(status: cri.PodSandboxStatus) -> SandboxState:
    host = status.linux.namespaces.options.network == cri.NODE
    addresses = [status.network.ip, *(ip.ip for ip in status.network.additional_ips)]
    return SandboxState(
        id=status.id,
        attempt=status.metadata.attempt,
        ready=status.state == cri.SANDBOX_READY,
        created_at=_time(status.created_at),
        ips=tuple(address for address in addresses if address) if not host else (),
        host_network=host,
    )


def _container(status: cri.ContainerStatus, sandbox_id: str) -> ContainerState:
    notes = dict(status.annotations)
    return ContainerState(
        id=status.id,
        name=status.metadata.name,
        state=_STATES.get(status.state, State.UNKNOWN),
        image=status.image.image,
        image_id=status.image_ref,
        created_at=_time(status.created_at),
        started_at=_time(status.started_at),
        finished_at=_time(status.finished_at),
        exit_code=status.exit_code,
        reason=status.reason,
        message=_message(status, notes),
        restart_count=_count(notes.get(labels.RESTART_COUNT), status.metadata.attempt),
        hash=notes.get(labels.HASH, ""),
        sandbox_id=sandbox_id,
        log_path=status.log_path,
        annotations=notes,
        user=_user(status.user.linux) if status.user.HasField("linux") else None,
    )


def _user(user: cri.LinuxContainerUser) -> tuple[int, int, tuple[int, ...]]:
    return user.uid, user.gid, tuple(user.supplemental_groups)


def _message(status: cri.ContainerStatus, notes: dict[str, str]) -> str:
    """The runtime's message, and the container's own last words after it."""
    if status.state != cri.CONTAINER_EXITED:
        return status.message
    path = notes.get(labels.TERMINATION_PATH, "")
    file = next((mount.host_path for mount in status.mounts if path and mount.container_path == path), "")
    fall_back = notes.get(labels.TERMINATION_POLICY) == "FallbackToLogsOnError" and status.exit_code != 0
    words = read_message(file, status.log_path, fall_back=fall_back)
    return ": ".join(part for part in (status.message, words) if part)


def _count(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdigit() else otherwise


def _time(nanoseconds: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds > 0 else None
