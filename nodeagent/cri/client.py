"""The runtime service: sandboxes and containers.

Every method is one RPC with a deadline. Refusals are `RuntimeCallError` (`.message` is the runtime's own text), an
absent object is `ContainerNotFound`, silence is `RuntimeUnreachable` or `RuntimeTimeout`. Calls may be cancelled: the
runtime then undoes what it had begun.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cri_api.v1.api_pb2_grpc import RuntimeServiceStub

from . import messages as cri
from .channel import Channel
from .errors import RuntimeCallError
from .noted import noted
from .tasks import delete_task, lost_task

# Pulling the pause image and the CNI plugin are inside RunPodSandbox (upstream gives it twice the request timeout).
_SANDBOX_TIMEOUT = 240.0
_DEFAULT_TIMEOUT = 120.0
# What the runtime needs beyond the grace period to kill and report.
_STOP_MARGIN = 30.0


class RuntimeService:
    """The runtime.v1.RuntimeService of one runtime. timeout: seconds for an ordinary call."""

    def __init__(self, channel: Channel, timeout: float = _DEFAULT_TIMEOUT) -> None:
        self._channel, self._timeout = channel, timeout
        self._stub = RuntimeServiceStub(channel.grpc)  # type: ignore[no-untyped-call]

    async def _call(self, rpc: Any, request: Any, timeout: float | None = None) -> Any:
        return await self._channel.call(rpc, request, timeout or self._timeout)

    async def version(self) -> cri.VersionResponse:
        answer: cri.VersionResponse = await self._call(self._stub.Version, cri.VersionRequest(version="v1"), 10)
        return answer

    async def whole_status(self) -> cri.StatusResponse:
        """Its conditions, and what its handlers and itself can do."""
        answer: cri.StatusResponse = await self._call(self._stub.Status, cri.StatusRequest(), 10)
        return answer

    async def status(self) -> dict[str, cri.RuntimeCondition]:
        """The conditions `RuntimeReady` and `NetworkReady`, by type."""
        return conditions(await self.whole_status())

    async def handlers(self) -> dict[str, cri.RuntimeHandlerFeatures]:
        """What each handler says that it can, by its name ("" is the default); none before containerd 2.0."""
        return {each.name: each.features for each in (await self.whole_status()).runtime_handlers}

    async def sandbox_image(self) -> str:
        """The image that sandboxes are made of, as the runtime's configuration names it; "" when it does not say.

        containerd 2 does not: it pins the image instead.
        """
        answer = await self._call(self._stub.Status, cri.StatusRequest(verbose=True), 10)
        try:
            return str(json.loads(answer.info.get("config", "{}")).get("sandboxImage") or "")
        except (ValueError, AttributeError):
            return ""

    async def run_pod_sandbox(self, config: cri.PodSandboxConfig, runtime_handler: str = "") -> str:
        """Create and start a sandbox, its network included; returns its id. Undone by the runtime when it fails."""
        request = cri.RunPodSandboxRequest(config=config, runtime_handler=runtime_handler)
        with noted("RunPodSandbox", _pod(config)) as facts:
            answer = await self._call(self._stub.RunPodSandbox, request, _SANDBOX_TIMEOUT)
            facts["id"] = str(answer.pod_sandbox_id)
        return str(answer.pod_sandbox_id)

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Kill what runs in the sandbox and take its network down. Idempotent; absent is success."""
        request = cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        with noted("StopPodSandbox", id=sandbox_id):
            await self._call(self._stub.StopPodSandbox, request, _SANDBOX_TIMEOUT)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        """Remove the sandbox and every container in it. Idempotent; absent is success."""
        await self._call(self._stub.RemovePodSandbox, cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def pod_sandbox_status(self, sandbox_id: str) -> cri.PodSandboxStatus:
        answer = await self._call(self._stub.PodSandboxStatus, cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))
        status: cri.PodSandboxStatus = answer.status
        return status

    async def list_pod_sandboxes(self, labels: Mapping[str, str] | None = None) -> list[cri.PodSandbox]:
        """Sandboxes whose labels include `labels`, in no order."""
        request = cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector=dict(labels or {})))
        answer: cri.ListPodSandboxResponse = await self._call(self._stub.ListPodSandbox, request)
        return list(answer.items)

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig
    ) -> str:
        """Create (not start) a container in the sandbox; returns its id."""
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        with noted("CreateContainer", _pod(sandbox_config), container=config.metadata.name) as facts:
            answer = await self._call(self._stub.CreateContainer, request)
            facts["id"] = str(answer.container_id)
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        with noted("StartContainer", id=container_id):
            await self._call(self._stub.StartContainer, cri.StartContainerRequest(container_id=container_id))

    async def stop_container(self, container_id: str, grace: int) -> None:
        """Send the stop signal, and SIGKILL after `grace` seconds; returns when it has ended. Absent is success."""
        request = cri.StopContainerRequest(container_id=container_id, timeout=grace)
        with noted("StopContainer", id=container_id):
            await self._call(self._stub.StopContainer, request, grace + _STOP_MARGIN)

    async def remove_container(self, container_id: str) -> None:
        """Remove the container, killing it if it runs. Absent is success."""
        request = cri.RemoveContainerRequest(container_id=container_id)
        try:
            await self._call(self._stub.RemoveContainer, request)
        except RuntimeCallError as error:
            if not lost_task(error):
                raise
            await self.delete_lost_task(container_id)
            await self._call(self._stub.RemoveContainer, request)

    async def delete_lost_task(self, container_id: str) -> None:
        """Delete the task that containerd may have of a container that could not be started. None is success."""
        await delete_task(self._channel, container_id)

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> list[cri.Container]:
        """Containers whose labels include `labels`, in no order."""
        request = cri.ListContainersRequest(filter=cri.ContainerFilter(label_selector=dict(labels or {})))
        answer: cri.ListContainersResponse = await self._call(self._stub.ListContainers, request)
        return list(answer.containers)

    async def container_status(self, container_id: str) -> cri.ContainerStatus:
        answer = await self._call(self._stub.ContainerStatus, cri.ContainerStatusRequest(container_id=container_id))
        status: cri.ContainerStatus = answer.status
        return status

    async def update_resources(self, container_id: str, resources: cri.LinuxContainerResources) -> None:
        """Change a running container's cgroup limits in place."""
        request = cri.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await self._call(self._stub.UpdateContainerResources, request)

    async def checkpoint_container(self, container_id: str, location: str, timeout: int = 0) -> None:
        """Write the container's state into an archive at `location`. timeout: seconds, 0 for the runtime's own."""
        request = cri.CheckpointContainerRequest(container_id=container_id, location=location, timeout=timeout)
        await self._call(self._stub.CheckpointContainer, request, timeout or None)

    async def reopen_log(self, container_id: str) -> None:
        """Make the runtime reopen the log file of a running container, after the file was renamed."""
        await self._call(self._stub.ReopenContainerLog, cri.ReopenContainerLogRequest(container_id=container_id))

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float | None) -> cri.ExecSyncResponse:
        """Run a command in the container to its end. timeout: seconds, then it is killed and RuntimeTimeout raised;
        None for as long as it takes."""
        seconds = 0 if timeout is None else max(1, round(timeout))
        request = cri.ExecSyncRequest(container_id=container_id, cmd=command, timeout=seconds)
        patience = None if timeout is None else timeout + 5
        answer: cri.ExecSyncResponse = await self._channel.call(self._stub.ExecSync, request, patience)
        return answer

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """The one-time URL of the runtime's streaming server at which this exec can be had."""
        request = cri.ExecRequest(
            container_id=container_id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        return str((await self._call(self._stub.Exec, request)).url)

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        """The same for the container's own standard streams."""
        request = cri.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return str((await self._call(self._stub.Attach, request)).url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        """The same for connections to ports inside the sandbox."""
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return str((await self._call(self._stub.PortForward, request)).url)

    async def container_stats(self, labels: Mapping[str, str] | None = None) -> list[cri.ContainerStats]:
        request = cri.ListContainerStatsRequest(filter=cri.ContainerStatsFilter(label_selector=dict(labels or {})))
        answer: cri.ListContainerStatsResponse = await self._call(self._stub.ListContainerStats, request)
        return list(answer.stats)

    async def update_runtime_config(self, pod_cidr: str) -> None:
        """Tell the runtime the node's pod subnet (it may render a CNI configuration from its template)."""
        config = cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr=pod_cidr))
        await self._call(self._stub.UpdateRuntimeConfig, cri.UpdateRuntimeConfigRequest(runtime_config=config))


def conditions(status: cri.StatusResponse) -> dict[str, cri.RuntimeCondition]:
    """A runtime's conditions, by type."""
    return {condition.type: condition for condition in status.status.conditions}


def _pod(config: cri.PodSandboxConfig) -> str:
    return f"{config.metadata.namespace}/{config.metadata.name}"
