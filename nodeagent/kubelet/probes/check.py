"""One probe, once: what the container, the server or the port answers (pkg/probe)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from apimachinery.kit.net_words import joined
from apimachinery.kit.protowire import encode_strings, fields
from apimachinery.meta.go_print import quoted
from apimachinery.meta.times import format_duration
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError, RuntimeTimeout, error_for
from nodeagent.kubelet.expansion import expand

from .connect import BodyProblem, ConnectProblem, http_get, tcp_connect
from .target import resolve_port

_OUTPUT_MAX = 10 * 1024
# How often what could not be carried out is tried at once (maxProbeRetries).
_TRIES = 3
_HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


@dataclass(frozen=True, slots=True)
class Answer:
    """passed, and what to tell people when it did not.

    unknown: the probe could not be carried out, which says nothing of the container; state: what people are told that
    it resulted in. warning: it passed, and people are told nevertheless.
    """

    passed: bool
    message: str = ""
    unknown: bool = False
    warning: bool = False
    state: str = "unknown"


async def check(
    runtime: RuntimeService, probe: Mapping[str, Any], container: Mapping[str, Any], container_id: str, ip: str
) -> Answer:
    """Run the probe, anew while it cannot be carried out. ip: the pod's address.

    Never raises for what the container does.
    """
    for _ in range(_TRIES):
        answer = await _try(runtime, probe, container, container_id, ip)
        if not answer.unknown:
            break
    return answer


async def _try(
    runtime: RuntimeService, probe: Mapping[str, Any], container: Mapping[str, Any], container_id: str, ip: str
) -> Answer:
    timeout = float(probe.get("timeoutSeconds") or 1)
    try:
        if "exec" in probe:
            command = [expand(word, _static(container)) for word in probe["exec"].get("command") or ()]
            return await _exec(runtime, command, container_id, timeout)
        if "httpGet" in probe:
            action = probe["httpGet"]
            port = resolve_port(action.get("port"), container)
            status, body = await http_get(action, action.get("host") or ip, port, timeout)
            if 200 <= status < 300:
                return Answer(True, body)
            if 300 <= status < 400:
                return Answer(True, f"Probe terminated redirects, Response body: {body}", warning=True)
            return Answer(False, f"HTTP probe failed with statuscode: {status}")
        if "tcpSocket" in probe:
            action = probe["tcpSocket"]
            await tcp_connect(action.get("host") or ip, resolve_port(action.get("port"), container), timeout)
            return Answer(True)
        if "grpc" in probe:
            return await _grpc(ip, int(probe["grpc"]["port"]), probe["grpc"].get("service") or "", timeout)
    except ConnectProblem as error:
        return Answer(False, str(error))
    except BodyProblem as error:
        return Answer(False, str(error), unknown=True, state="failure")
    except ValueError as error:
        return Answer(False, str(error), unknown=True)
    return Answer(False, f"missing probe handler for {container['name']}", unknown=True)


def _static(container: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a probe's command may name: those with a value in the spec; others of the spec are empty."""
    return {variable["name"]: variable.get("value") or "" for variable in container.get("env") or ()}


async def _exec(runtime: RuntimeService, command: list[str], container_id: str, timeout: float) -> Answer:
    try:
        done = await runtime.exec_sync(container_id, command, timeout)
    except RuntimeTimeout:
        return Answer(False, f"command {quoted(' '.join(command))} timed out")
    except RuntimeCallError as error:
        return Answer(False, str(error), unknown=True)
    output = (done.stdout + done.stderr)[:_OUTPUT_MAX].decode(errors="replace")
    return Answer(done.exit_code == 0, output)


async def _grpc(host: str, port: int, service: str, timeout: float) -> Answer:
    """grpc.health.v1.Health/Check (GRPC Health Checking Protocol): SERVING is 1."""
    target, within = joined(host, port), format_duration(timeout)
    options = (("grpc.enable_http_proxy", 0), ("grpc.primary_user_agent", "kube-probe/1.32"))
    channel = grpc.aio.insecure_channel(target, options=options)
    deadline = asyncio.get_running_loop().time() + timeout
    try:
        async with asyncio.timeout_at(deadline):
            await channel.channel_ready()
        request = encode_strings(1, [service] if service else [])
        left = deadline - asyncio.get_running_loop().time()
        answer = await channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=left)
    except TimeoutError:
        why = f'failed to connect service "{target}" within {within}: context deadline exceeded'
        return Answer(False, f"timeout: {why}")
    except grpc.aio.AioRpcError as error:
        return Answer(False, _refused(error, within))
    finally:
        await channel.close()
    number = int(dict(fields(answer)).get(1, 0))
    status = _HEALTH[number] if number < len(_HEALTH) else str(number)
    if status == "SERVING":
        return Answer(True, "service healthy")
    return Answer(False, f'service unhealthy (responded with "{status}")')


def _refused(error: grpc.aio.AioRpcError, within: str) -> str:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {details}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {within}"
    return f"error: health rpc probe failed: {error_for('Check', code.name, details)}"
