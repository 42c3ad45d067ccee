"""Port 10250 (and readOnlyPort): pods, logs, exec, attach, port-forward, statistics, metrics, configuration."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from apimachinery.kit import go_json, metrics
from apimachinery.kit.clock import Clock
from apimachinery.kit.debug import Health, show_slis, unknown, unnamed
from apimachinery.kit.trace import Trace
from apimachinery.meta.times import rfc3339
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet import observed, pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.runtime import labels
from nodeagent.kubelet.sources.registry import PodRegistry

from . import auth, disabled, logs, lookup
from .measurements import Measurements
from .neighbours import neighbours
from .system_logs import SystemLogs
from .tunnel import pass_on

log = logging.getLogger(__name__)

Status = Callable[[Pod], Mapping[str, Any]]

_LINE_MAX = 1 << 20  # bytes of a request line, which bears the command of an exec; Go's servers take as many
_FIELD_MAX = 64 * 1024  # bytes of one header


class KubeletServer:
    """The HTTPS server. status: a pod's status as the kubelet has it. debugging: it reaches into containers.

    read_only_port: if not 0, what tells of the node is there for everybody too, without TLS.
    """

    def __init__(
        self,
        *,
        address: str,
        port: int,
        tls: Callable[[], ssl.SSLContext],
        gate: auth.Gate,
        registry: PodRegistry,
        status: Status,
        runtime: RuntimeService,
        measured: Measurements,
        configuration: Mapping[str, Any],
        checkpoints: Path,
        system_logs: SystemLogs | None,
        debugging: bool,
        health: Health,
        clock: Clock,
        trace: Trace,
        read_only_port: int = 0,
    ) -> None:
        self._read_only_port = read_only_port
        self._address, self._port, self._tls, self._gate = address, port, tls, gate
        self._registry, self._status, self._runtime = registry, status, runtime
        self._measured, self._configuration, self._clock = measured, configuration, clock
        self._checkpoints, self._system_logs, self._trace = checkpoints, system_logs, trace
        self._debugging, self._health = debugging, health

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises OSError when a port is taken."""
        async with AsyncExitStack() as undo:
            await self._listen(undo, self.application(), self._port, self._tls())
            if self._read_only_port:
                await self._listen(undo, self.read_only(), self._read_only_port, None)
            await stop.wait()

    async def _listen(self, undo: AsyncExitStack, app: web.Application, port: int, tls: ssl.SSLContext | None) -> None:
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=1,
            max_line_size=_LINE_MAX,
            max_field_size=_FIELD_MAX,
        )
        undo.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, self._address, port, ssl_context=tls).start()

    def application(self) -> web.Application:
        """Everything that is answered, behind the gate."""
        app = web.Application(middlewares=[self._guard, unknown])
        app.on_response_prepare.append(unnamed)
        route = app.router
        self._add_told(route)
        route.add_post("/checkpoint/{namespace}/{pod}/{container}", self._checkpoint)
        route.add_get("/metrics/slis", show_slis)
        route.add_get("/configz", self._configz)
        route.add_get("/debug/trace", self._traces)
        if self._debugging:
            self._add_debugging(route)
        else:
            disabled.add_routes(route)
        return app

    def read_only(self) -> web.Application:
        """What tells of the node, without a gate."""
        app = web.Application(middlewares=[self._open, unknown])
        app.on_response_prepare.append(unnamed)
        self._add_told(app.router)
        disabled.add_routes(app.router)
        return app

    def _add_told(self, route: web.UrlDispatcher) -> None:
        self._health.add_routes(route, "healthz")
        route.add_get("/pods", self._pods)
        self._measured.add_routes(route)
        route.add_get("/metrics", self._metrics)

    def _add_debugging(self, route: web.UrlDispatcher) -> None:
        for path in ("/runningpods", "/runningpods/"):
            route.add_get(path, self._running_pods)
        route.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for verb, handler in (("exec", self._exec), ("attach", self._attach)):
            route.add_route("*", f"/{verb}/{{namespace}}/{{pod}}/{{container}}", handler)
            route.add_route("*", f"/{verb}/{{namespace}}/{{pod}}/{{uid}}/{{container}}", handler)
        for path in ("/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"):
            route.add_route("*", path, self._port_forward)
        for path in ("/run/{namespace}/{pod}/{container}", "/run/{namespace}/{pod}/{uid}/{container}"):
            route.add_post(path, self._run_command)
        if self._system_logs is not None:
            self._system_logs.add_routes(route)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        counted, began = observed.Request(request.method, request.path), self._clock.monotonic()
        try:
            return await self._decide(request, handler)
        finally:
            counted.ended(self._clock.monotonic() - began)

    async def _decide(self, request: web.Request, handler: Any) -> web.StreamResponse:
        transport = request.transport
        session = transport.get_extra_info("ssl_object") if transport is not None else None
        shown = auth.shown_in(session, self._clock.now())
        user = await self._gate.authenticate(shown, request.headers.get("Authorization", ""))
        if user is None:
            return web.Response(status=401, text="Unauthorized")
        verb, subresource = auth.attributes(request.method, request.path)
        try:
            if not await self._gate.authorize(user, verb, subresource):
                return web.Response(status=403, text=auth.forbidden(user, verb, subresource))
        except auth.Undecided as error:
            return web.Response(status=500, text=str(error))
        return await self._open(request, handler)

    @web.middleware
    async def _open(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await handler(request)
        except lookup.NotThere as error:
            return web.Response(status=error.status, text=str(error))
        except RuntimeCallError as error:
            return web.Response(status=500, text=error.message)
        return answer

    # --- what is here

    async def _metrics(self, _: web.Request) -> web.Response:
        body = metrics.render() + await self._measured.claims()
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _configz(self, _: web.Request) -> web.Response:
        return _json({"kubeletconfig": self._configuration})

    async def _traces(self, _: web.Request) -> web.Response:
        """Our trace, and those of the node's components whose ports are open on the node alone."""
        return _json({**self._trace.document(), "neighbours": await neighbours()})

    async def _pods(self, _: web.Request) -> web.Response:
        return _json(_pod_list([{**pod, "status": self._status(pod)} for pod in self._registry.all()]))

    async def _running_pods(self, _: web.Request) -> web.Response:
        """What the runtime has, whoever asked for it: pods with a sandbox that is ready or a container that runs."""
        boxes, containers = await asyncio.gather(self._runtime.list_pod_sandboxes(), self._runtime.list_containers())
        found: dict[str, dict[str, Any]] = {}
        for box in boxes:
            if labels.POD_UID in box.labels and box.state == cri.SANDBOX_READY:
                found.setdefault(box.labels[labels.POD_UID], _bare_pod(box.labels))
        for container in containers:
            if labels.POD_UID in container.labels and container.state == cri.CONTAINER_RUNNING:
                pod = found.setdefault(container.labels[labels.POD_UID], _bare_pod(container.labels))
                shown = {"name": container.metadata.name, "image": container.image.image, "resources": {}}
                pod["spec"]["containers"].append(shown)
        return _json(_pod_list([*found.values()]))

    # --- one pod

    def _pod(self, request: web.Request) -> Pod:
        match = request.match_info
        uid = match.get("uid")
        found = self._registry.find(uid) if uid else self._registry.by_name(match["namespace"], match["pod"])
        if found is None or pods.full_name(found) != f"{match['pod']}_{match['namespace']}":
            raise lookup.NotThere(404, "pod does not exist")
        return found

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        try:
            options = logs.parse_options(request.query, self._clock.now())
        except logs.BadOption as error:
            return web.Response(status=422, text=str(error))
        try:
            pod = self._pod(request)
        except lookup.NotThere:
            raise lookup.NotThere(404, f'pod "{request.match_info["pod"]}" does not exist\n') from None
        container_id = lookup.container_for_logs(
            pod, self._status(pod), request.match_info["container"], previous=options.previous
        )
        return await logs.send_log(request, self._runtime, container_id, options, self._clock)

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        streams, pod = _streams(request), self._pod(request)
        container_id = lookup.running_container(pod, self._status(pod), request.match_info["container"])
        command = request.query.getall("command", [])
        return await pass_on(request, await self._runtime.exec_url(container_id, command, **streams))

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        streams, pod = _streams(request), self._pod(request)
        container_id, tty = lookup.attached_container(pod, self._status(pod), request.match_info["container"])
        return await pass_on(request, await self._runtime.attach_url(container_id, **{**streams, "tty": tty}))

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        found = await self._runtime.list_pod_sandboxes({labels.POD_UID: pods.uid(pod)})
        ready = [box for box in found if box.state == 0]
        if not ready:
            raise lookup.NotThere(500, f'pod not found ("{pods.full_name(pod)}")')
        ports = lookup.forwarded_ports(request.query.getall("port", []))
        return await pass_on(request, await self._runtime.port_forward_url(ready[0].id, ports))

    async def _checkpoint(self, request: web.Request) -> web.Response:
        """Freeze a container into an archive (KEP-2008); the answer names it. What the runtime cannot, it says."""
        pod, name, match = self._pod(request), request.match_info["container"], request.match_info
        if pods.find_container(pod, name) is None:
            raise lookup.NotThere(404, f"container {name} does not exist")
        try:
            timeout = int(request.query.getall("timeout", ["0"])[-1])
        except ValueError:
            raise lookup.NotThere(404, "cannot parse value of timeout parameter") from None
        container_id = lookup.running_container(pod, self._status(pod), name)
        now = rfc3339(self._clock.now())
        place = self._checkpoints / f"checkpoint-{pods.full_name(pod)}-{name}-{now}.tar"
        self._checkpoints.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await self._runtime.checkpoint_container(container_id, str(place), timeout)
        except RuntimeCallError as error:
            where = f"{match['namespace']}/{match['pod']}/{name}"
            raise lookup.NotThere(500, f"checkpointing of {where} failed ({error})") from error
        return _json({"items": [str(place)]})

    async def _run_command(self, request: web.Request) -> web.Response:
        pod = self._pod(request)
        container_id = lookup.running_container(pod, self._status(pod), request.match_info["container"])
        command = request.query.get("cmd", "").split(" ")
        answer = await self._runtime.exec_sync(container_id, command, None)
        if answer.exit_code != 0:
            problem = f"command '{' '.join(command)}' exited with {answer.exit_code}: "
            raise lookup.NotThere(500, problem + answer.stderr.decode(errors="replace"))
        return web.Response(body=answer.stdout + answer.stderr)


def _streams(request: web.Request) -> dict[str, bool]:
    """Which streams are wanted: the API server says input, output, error; others stdin, stdout, stderr.

    Raises NotThere 400 when none is."""

    def asked(*names: str) -> bool:
        return any(request.query.get(name, "").lower() in ("1", "true") for name in names)

    tty = asked("tty")
    # With a terminal there is one stream only.
    stdin, stdout, stderr = (
        asked("input", "stdin"),
        asked("output", "stdout"),
        asked("error", "stderr") and not tty,
    )
    if not (stdin or stdout or stderr):
        raise lookup.NotThere(400, "you must specify at least 1 of stdin, stdout, stderr")
    return {"tty": tty, "stdin": stdin, "stdout": stdout, "stderr": stderr}


def _pod_list(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(items)}


def _bare_pod(found: Mapping[str, str]) -> dict[str, Any]:
    """As much of a pod as labels of the runtime tell."""
    names = {"name": labels.POD_NAME, "namespace": labels.POD_NAMESPACE, "uid": labels.POD_UID}
    metadata = {field: found.get(label, "") for field, label in names.items()}
    return {"metadata": metadata, "spec": {"containers": []}, "status": {}}


def _json(content: Any) -> web.Response:
    body = go_json.escaped(orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS, default=str))
    return web.Response(body=body, content_type="application/json")
