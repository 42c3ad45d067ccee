"""postStart and preStop: commands in the container, HTTP requests to it, or a pause (pkg/kubelet/lifecycle)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.kit.clock import Clock
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.probes.connect import ConnectProblem, http_get
from nodeagent.kubelet.probes.target import resolve_port

_POST_START_TIMEOUT = 600.0


class HookFailed(Exception):
    """The hook ended badly. The text is what the event says."""


async def run_hook(
    runtime: RuntimeService,
    clock: Clock,
    handler: Mapping[str, Any],
    container_id: str,
    container: Mapping[str, Any],
    ip: str,
    timeout: float = _POST_START_TIMEOUT,
) -> None:
    """Run a lifecycle handler to its end. ip: the pod's address. timeout: seconds. Raises HookFailed."""
    if "exec" in handler:
        command = handler["exec"].get("command") or []
        try:
            answer = await runtime.exec_sync(container_id, command, timeout)
        except RuntimeCallError as error:
            raise HookFailed(f"Exec lifecycle hook ({command}) failed - error: {error}") from error
        if answer.exit_code != 0:
            text = (answer.stdout + answer.stderr).decode(errors="replace")[:1024]
            raise HookFailed(
                f"Exec lifecycle hook ({command}) failed - error: command '{' '.join(command)}' exited with "
                f'{answer.exit_code}: {answer.stderr.decode(errors="replace")[:512]}, message: "{text}"'
            )
    elif "httpGet" in handler:
        action = handler["httpGet"]
        try:
            port = resolve_port(action.get("port"), container)
            status, _ = await http_get(action, action.get("host") or ip, port, min(timeout, 60.0))
        except (ConnectProblem, ValueError) as error:
            raise HookFailed(f"HTTP lifecycle hook ({action.get('path', '/')}) failed - error: {error}") from error
        if status >= 400:
            raise HookFailed(f"HTTP lifecycle hook ({action.get('path', '/')}) failed - status: {status}")
    elif "sleep" in handler:
        await clock.sleep(min(float(handler["sleep"]["seconds"]), timeout))
