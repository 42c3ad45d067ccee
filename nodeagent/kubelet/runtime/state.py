"""What the runtime says about one pod, as plain values: the input of every decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

Fingerprint = Mapping[str, str]
"""What a listing shows of a pod: id → READY or NOT_READY of a sandbox, the value of its State of a container."""

READY, NOT_READY = "ready", "notready"


class State(Enum):
    """A container's state as the CRI tells it."""

    CREATED = "Created"
    RUNNING = "Running"
    EXITED = "Exited"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container, dead or alive. Times are the runtime's wall clock; None when it did not come to that.

    user: uid, gid and groups of its first process, as it began; None of a runtime that does not say.
    """

    id: str
    name: str
    state: State
    image: str = ""
    image_id: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    restart_count: int = 0
    hash: str = ""
    sandbox_id: str = ""
    log_path: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int, tuple[int, ...]] | None = None

    @property
    def container_id(self) -> str:
        """As the API shows it."""
        return f"containerd://{self.id}"

    @property
    def failed(self) -> bool:
        return self.state is State.UNKNOWN or (self.state is State.EXITED and self.exit_code != 0)


@dataclass(frozen=True, slots=True)
class SandboxState:
    """One sandbox. ips: primary first; empty on the host network or when not ready."""

    id: str
    attempt: int
    ready: bool
    created_at: datetime | None = None
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class PodState:
    """Everything the runtime has of one pod; sandboxes and containers newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[SandboxState, ...] = ()
    containers: tuple[ContainerState, ...] = ()

    def latest(self, name: str) -> ContainerState | None:
        """The newest container of that name."""
        return next((container for container in self.containers if container.name == name), None)

    def previous(self, name: str) -> ContainerState | None:
        """The one before it."""
        found = [container for container in self.containers if container.name == name]
        return found[1] if len(found) > 1 else None

    @property
    def sandbox(self) -> SandboxState | None:
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ips(self) -> tuple[str, ...]:
        sandbox = self.sandbox
        return sandbox.ips if sandbox and sandbox.ready else ()

    @property
    def running(self) -> tuple[ContainerState, ...]:
        return tuple(c for c in self.containers if c.state in (State.RUNNING, State.UNKNOWN))
