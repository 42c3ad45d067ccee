"""The CRI's two services by the names of their calls, and what is logged when one fails."""

from __future__ import annotations

from . import complaints
from .codec import decode, encode
from .rpc import CallFailed, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .codec import Message

_IMAGE_CALLS = frozenset(("ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"))

# What cri-client says when a call fails; of the others "NAME from runtime service failed".
_SENTENCES = {
    "ListPodSandbox": "ListPodSandbox with filter from runtime service failed",
    "ListContainers": "ListContainers with filter from runtime service failed",
    "ListContainerStats": "ListContainerStats with filter from runtime service failed",
    "ListPodSandboxStats": "ListPodSandboxStats with filter from runtime service failed",
    "CreateContainer": "CreateContainer in sandbox from runtime service failed",
    "ExecSync": "ExecSync cmd from runtime service failed",
    "Exec": "Exec cmd from runtime service failed",
    "ListImages": "ListImages with filter from image service failed",
    "ImageStatus": "Get ImageStatus from image service failed",
    "PullImage": "PullImage from image service failed",
    "RemoveImage": "RemoveImage from image service failed",
    "ImageFsInfo": "ImageFsInfo from image service failed",
}
_SHOWN = {"pod_sandbox_id": "podSandboxID", "container_id": "containerID"}
# Calls that may take as long as they take: the sandbox has the network set up, a stop waits for the container.
_FACTORS = {"RunPodSandbox": 2.0}


class CriClient:
    """The services behind one endpoint. timeout: seconds for a call. Connects at once; raises CallFailed."""

    def __init__(self, endpoint: str, timeout: float, service: str) -> None:
        self._timeout = timeout
        try:
            self._connection = Connection(endpoint, timeout)
        except CallFailed as error:
            where = f'validate CRI v1 {service} API for endpoint "{endpoint}"'
            raise complaints.Failed(f"validate service connection: {where}: {error}") from None

    def close(self) -> None:
        self._connection.close()

    def call(self, name: str, request: Message | None = None, *, timeout: float | None = None) -> Message:
        """Call `name` with a request of proto names. timeout: seconds beyond the ordinary; 0 for no limit.

        Raises CallFailed, after it was logged as klog does.
        """
        limit: float | None = self._timeout * _FACTORS.get(name, 1.0)
        if timeout is not None:
            limit = None if timeout == 0 else self._timeout + timeout
        content = request or {}
        try:
            answer = self._connection.call(_method(name), encode(f"{name}Request", content), limit)
        except CallFailed as error:
            self._log(name, content, error)
            raise
        response = f"{name}Response"
        return decode(response, answer) if name not in _EMPTY_ANSWERS else {}

    def events(self) -> Iterator[Message]:
        """The runtime's container events, until it ends the stream. Raises CallFailed."""
        for answer in self._connection.stream(_method("GetContainerEvents"), b""):
            yield decode("ContainerEventResponse", answer)

    def _log(self, name: str, request: Message, error: CallFailed) -> None:
        sentence = _SENTENCES.get(name, f"{name} from runtime service failed")
        shown = {_SHOWN[key]: value for key, value in request.items() if key in _SHOWN}
        if name in _IMAGE_CALLS and request.get("image"):
            shown["image"] = request["image"].get("image", "")
        if name in ("Exec", "ExecSync"):
            shown["cmd"] = request["cmd"]
        complaints.klog_error(sentence, str(error), shown)


def _method(name: str) -> str:
    service = "ImageService" if name in _IMAGE_CALLS else "RuntimeService"
    return f"/runtime.v1.{service}/{name}"


_EMPTY_ANSWERS = frozenset(
    (
        "StopPodSandbox", "RemovePodSandbox", "StartContainer", "StopContainer", "RemoveContainer",
        "UpdateContainerResources", "ReopenContainerLog", "RemoveImage", "UpdateRuntimeConfig",
    )
)  # fmt: skip


def get(message: Any, *names: str) -> Any:
    """A field of a field, or None where something on the way is absent."""
    for name in names:
        if not isinstance(message, dict):
            return None
        message = message.get(name)
    return message
