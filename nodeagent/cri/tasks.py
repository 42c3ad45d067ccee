"""containerd's own tasks: the one that its CRI plugin has lost.

A StartContainer that is broken off (the pod is deleted meanwhile, the agent is killed) while containerd asks the shim
for the new task's pid leaves the task behind, created and never started; the CRI shows an exited container, and refuses
to remove it for good: "cannot delete running task". Operators then type `ctr -n k8s.io task rm`. Field numbers are from
containerd's api/services/tasks/v1/tasks.proto.
"""

from __future__ import annotations

import contextlib
from typing import Any

from apimachinery.kit.protowire import encode_strings

from .channel import Channel
from .errors import ContainerNotFound, RuntimeCallError

_DELETE = "/containerd.services.tasks.v1.Tasks/Delete"
_NAMESPACE = (("containerd-namespace", "k8s.io"),)
_TIMEOUT = 30.0


def lost_task(error: RuntimeCallError) -> bool:
    """Whether a container could not be removed because of a task that the CRI knows nothing of."""
    return error.code == "FAILED_PRECONDITION" and "cannot delete running task" in error.message


async def delete_task(channel: Channel, container_id: str) -> None:
    """Delete a container's task, which kills one that was never started; one that runs is left alone. Absent is
    success: the runtime is at it too when the container has just ended.

    Raises RuntimeCallError: FAILED_PRECONDITION when it runs, UNIMPLEMENTED when the runtime is no containerd.
    """
    rpc: Any = channel.grpc.unary_unary(_DELETE)
    with contextlib.suppress(ContainerNotFound):
        await channel.call(rpc, encode_strings(1, [container_id]), _TIMEOUT, _NAMESPACE)
