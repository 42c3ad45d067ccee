"""containerd's own tasks: the one that its CRI plugin has lost.

A StartContainer whose caller goes away (an agent that is killed in a burst of pods) while containerd asks the shim for
the new task's pid leaves the task behind, created and never started, with its root mounted. The CRI shows an exited
container (StartError) and refuses to remove it for good: "cannot delete running task". Operators then type
`ctr -n k8s.io tasks rm`. Field numbers are from containerd's api/services/tasks/v1/tasks.proto.
"""

from __future__ import annotations

from typing import Any

from apimachinery.kit.protowire import encode_strings

from .channel import Channel
from .errors import RuntimeCallError

_DELETE = "/containerd.services.tasks.v1.Tasks/Delete"
_NAMESPACE = (("containerd-namespace", "k8s.io"),)
_TIMEOUT = 30.0


def lost_task(error: RuntimeCallError) -> bool:
    """Whether a container could not be removed because of a task that the CRI knows nothing of."""
    return error.code == "FAILED_PRECONDITION" and "cannot delete running task" in error.message


async def delete_task(channel: Channel, container_id: str) -> None:
    """Delete a container's task, which kills one that was never started. Absent is success: the runtime is at it too
    when a container has just ended. So is a runtime that is no containerd and has no tasks.

    Raises RuntimeCallError: FAILED_PRECONDITION for one that runs, which is left alone.
    """
    rpc: Any = channel.grpc.unary_unary(_DELETE)
    try:
        await channel.call(rpc, encode_strings(1, [container_id]), _TIMEOUT, _NAMESPACE)
    except RuntimeCallError as error:
        if error.code not in ("NOT_FOUND", "UNIMPLEMENTED"):
            raise
