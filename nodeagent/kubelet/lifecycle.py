"""postStart and preStop: commands in the container, HTTP requests to it, or a pause (pkg/kubelet/lifecycle)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.kit.net_words import joined
from apimachinery.meta.go_print import plain, quoted
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.probes.connect import BodyProblem, ConnectProblem, NotTls, http_get
from nodeagent.kubelet.probes.target import resolve_port

_AGENT = "kube-lifecycle/1.32"

Say = Callable[[str, str, str], None]
"""(event type, reason, message): an event about the pod."""


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
    say: Say = lambda *_: None,
    timeout: float | None = None,
) -> None:
    """Run a lifecycle handler to its end. ip: the pod's address. whose: the pod, for messages. timeout: seconds, None
    for as long as it takes.

    Raises HookFailed. An HTTP server has only to answer: what it says is not looked at, as upstream.
    """
    where = f"for Container {quoted(container.get('name', ''))} in Pod {quoted(whose)} failed - error:"
    if "exec" in handler:
        await _exec(runtime, handler["exec"], container_id, where, timeout)
    elif "httpGet" in handler:
        action = handler["httpGet"]
        try:
            port = resolve_port(action.get("port"), container)
            await _get(action, action.get("host") or ip, port, timeout, say)
        except (ConnectProblem, ValueError) as error:
            raise HookFailed(f"HTTP lifecycle hook ({action.get('path', '')}) {where} {error}") from error
    elif "sleep" in handler:
        seconds = float(handler["sleep"]["seconds"])
        await clock.sleep(seconds if timeout is None else min(seconds, timeout))
    else:
        raise HookFailed(f"Cannot run handler: invalid handler: {_shown(handler)}")


async def _exec(
    runtime: RuntimeService, action: Mapping[str, Any], container_id: str, where: str, timeout: float | None
) -> None:
    command = [str(word) for word in action.get("command") or ()]
    hook = f"Exec lifecycle hook ({plain(command)})"
    try:
        answer = await runtime.exec_sync(container_id, command, timeout)
    except RuntimeCallError as error:
        raise HookFailed(f'{hook} {where} {error}, message: ""') from error
    if answer.exit_code != 0:
        printed = quoted((answer.stdout + answer.stderr).decode(errors="replace"))
        problem = f"command '{' '.join(command)}' exited with {answer.exit_code}"
        raise HookFailed(f"{hook} {where} {problem}: {answer.stderr.decode(errors='replace')}, message: {printed}")


async def _get(action: Mapping[str, Any], host: str, port: int, timeout: float | None, say: Say) -> None:
    """Ask by HTTP a server that turns out to know no HTTPS, without credentials. Raises ConnectProblem."""
    try:
        await http_get(action, host, port, timeout, _AGENT)
    except BodyProblem:
        pass
    except NotTls as refused:
        headers = [each for each in action.get("httpHeaders") or () if str(each["name"]).lower() != "authorization"]
        try:
            await http_get({**action, "scheme": "HTTP", "httpHeaders": headers}, host, port, timeout, _AGENT)
        except BodyProblem:
            pass
        except ConnectProblem:
            raise refused from None
        told = f"request to HTTPS lifecycle hook {joined(host, port)} got HTTP response, retry with HTTP succeeded"
        say("Warning", "LifecycleHTTPFallback", told)


def _shown(handler: Mapping[str, Any]) -> str:
    """A handler that is none of the known ones, as Go prints it."""
    action, printed = handler.get("tcpSocket"), "nil"
    if action is not None:
        port = action.get("port")
        number, name, kind = (port, "", 0) if isinstance(port, int) else (0, port, 1)
        printed = f"&TCPSocketAction{{Port:{{{kind} {number} {name}}},Host:{action.get('host') or ''},}}"
    return f"&LifecycleHandler{{Exec:nil,HTTPGet:nil,TCPSocket:{printed},Sleep:nil,}}"
