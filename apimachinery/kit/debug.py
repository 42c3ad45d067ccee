"""The side door of every daemon: health, metrics, configuration, and what a component adds to it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from . import metrics, slis

Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at is unwell; the exception's text is the reason."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Guard = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Looks at a request first: the answer to one that may not be; None lets it through."""


_AS_SAID = {"X-Content-Type-Options": "nosniff"}


class Health:
    """Answers whether what is looked at is well: all of it, or one check.

    checks, ready: for all paths, and for /readyz besides; they may grow. Where there is none, that the process answers
    is the check (ping), as upstream.
    """

    def __init__(self, checks: Mapping[str, Check], ready: Mapping[str, Check] | None = None) -> None:
        self._checks, self._ready = checks, ready or {}

    def add_routes(self, router: web.UrlDispatcher, *names: str) -> None:
        """names: of the paths, `healthz`."""
        for name in names:
            router.add_get(f"/{name}", self._health)
            router.add_get(f"/{name}/{{check}}", self._one_check)

    async def _health(self, request: web.Request) -> web.Response:
        name = request.path.lstrip("/")
        excluded = set(request.query.getall("exclude", []))
        lines, failed = [], []
        for check, probe in self._of(name).items():
            if check in excluded:
                excluded.discard(check)
                lines.append(f"[+]{check} excluded: ok")
                continue
            reason = await _reason(probe)
            slis.observe(check, name, well=reason is None)
            lines.append(f"[+]{check} ok" if reason is None else f"[-]{check} failed: reason withheld")
            if reason is not None:
                failed.append(check)
        if excluded:
            quoted = ",".join(map(json.dumps, sorted(excluded)))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if failed:
            return web.Response(status=500, headers=_AS_SAID, text="\n".join([*lines, f"{name} check failed", ""]))
        if "verbose" in request.query:
            return web.Response(headers=_AS_SAID, text="\n".join([*lines, f"{name} check passed", ""]))
        return web.Response(headers=_AS_SAID, text="ok")

    def _of(self, name: str) -> dict[str, Check]:
        return {**self._checks, **(self._ready if name == "readyz" else {})} or {"ping": well}

    async def _one_check(self, request: web.Request) -> web.Response:
        probe = self._of(request.path.split("/")[1]).get(request.match_info["check"])
        if probe is None:
            return web.Response(status=404, text="404 page not found\n")
        reason = await _reason(probe)
        if reason is not None:
            return web.Response(status=500, text=f"internal server error: {reason}\n")
        return web.Response(text="ok")


class DebugServer:
    """An HTTP(S) server with /healthz, /livez, /readyz (each with ?verbose and ?exclude=), /metrics, /metrics/slis and
    /configz. only_health: without the last three, for a port that is open to whoever reaches it.

    The formats are those of k8s.io/apiserver/pkg/server/healthz: `ok`, or a line per check and "healthz check passed".
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        checks: Mapping[str, Check] | None = None,
        ready: Mapping[str, Check] | None = None,
        only_health: bool = False,
        config: Mapping[str, Any] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._config = dict(config or {})
        self._guard: Guard | None = None
        self._app = web.Application(middlewares=[self._guarded, unknown])
        self._app.on_response_prepare.append(unnamed)
        health = Health({} if checks is None else checks, ready)
        if only_health:
            health.add_routes(self._app.router, "healthz")
            return
        health.add_routes(self._app.router, "healthz", "livez", "readyz")
        self._app.router.add_get("/metrics", self._metrics)
        self._app.router.add_get("/metrics/slis", show_slis)
        self._app.router.add_get("/configz", self._configz)

    def route(self, path: str, handler: Handler, method: str = "GET") -> None:
        """Add a handler; before `run`."""
        self._app.router.add_route(method, path, handler)

    def guard(self, guard: Guard) -> None:
        """Ask before every request, to paths that there are not as well. Without one everybody may."""
        self._guard = guard

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises OSError when the address cannot be bound."""
        runner = web.AppRunner(self._app, access_log=None, handle_signals=False, shutdown_timeout=2)
        async with AsyncExitStack() as undo:
            await runner.setup()
            undo.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._tls).start()
            await stop.wait()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = await self._guard(request) if self._guard is not None else None
        return await handler(request) if refusal is None else refusal

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _configz(self, _: web.Request) -> web.Response:
        return web.json_response(self._config)


async def show_slis(_: web.Request) -> web.Response:
    """How the health checks ended: a path of its own, beside /metrics."""
    return web.Response(body=slis.render(), headers={"Content-Type": metrics.CONTENT_TYPE})


async def unnamed(_: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: answers do not name the program that gives them, as those of Kubernetes do not."""
    response.headers.pop("Server", None)


@web.middleware
async def unknown(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Of a path that there is not, Go's words."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, headers=_AS_SAID, text="404 page not found\n")


async def well() -> None:
    """The event loop turns: that it runs at all is the check."""


async def _reason(probe: Check) -> str | None:
    try:
        async with asyncio.timeout(5):
            await probe()
    except Exception as error:
        return str(error) or type(error).__name__
    return None
