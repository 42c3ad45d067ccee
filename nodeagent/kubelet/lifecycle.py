"""postStart and preStop: commands in the container, HTTP requests to it, or a pause (pkg/kubelet/lifecycle)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta.go_print import plain, quoted
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.probes.connect import ConnectProblem, http_get
from nodeagent.kubelet.probes.target import resolve_port

_POST_START_TIMEOUT = 600.0


class HookFailed(Exception):
    """The hook ended badly. The text is what the container's status says; events do not, for it may hold secrets."""


async def run_hook(
    runtime: RuntimeService,
    clock: Clock,
    handler: Mapping[str, Any],
    container_id: str,
    container: Mapping[str, Any],
    ip: str,
    *,
    whose: str,
    timeout: float = _POST_START_TIMEOUT,
) -> None:
    """Run a lifecycle handler to its end. ip: the pod's address. whose: the pod, for messages. timeout: seconds.

    Raises HookFailed. An HTTP server has only to answer: what it says is not looked at, as upstream.
    """
    where = f"for Container {quoted(container.get('name', ''))} in Pod {quoted(whose)} failed - error:"
    if "exec" in handler:
        command = [str(word) for word in handler["exec"].get("command") or ()]
        hook = f"Exec lifecycle hook ({plain(command)})"
        try:
            answer = await runtime.exec_sync(container_id, command, timeout)
        except RuntimeCallError as error:
            raise HookFailed(f'{hook} {where} {error}, message: ""') from error
        if answer.exit_code != 0:
            printed = quoted((answer.stdout + answer.stderr).decode(errors="replace"))
            problem = f"command '{' '.join(command)}' exited with {answer.exit_code}"
            raise HookFailed(f"{hook} {where} {problem}: {answer.stderr.decode(errors='replace')}, message: {printed}")
    elif "httpGet" in handler:
        action = handler["httpGet"]
        try:
            port = resolve_port(action.get("port"), container)
            await http_get(action, action.get("host") or ip, port, min(timeout, 60.0), agent="kube-lifecycle/1.32")
        except (ConnectProblem, ValueError) as error:
            raise HookFailed(f"HTTP lifecycle hook ({action.get('path', '')}) {where} {error}") from error
    elif "sleep" in handler:
        await clock.sleep(min(float(handler["sleep"]["seconds"]), timeout))
