"""/health, /ready and /metrics, each on the port that the Corefile gives it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from aiohttp import web

from apimachinery.kit.debug import DebugServer
from apimachinery.kit.tasks import cancel_and_wait
from nodeagent.dns.corefile import Corefile

_ready = logging.getLogger("plugin/ready")
log = logging.getLogger(__name__)


class Doors:
    """unready: the plugins that are not ready to answer."""

    def __init__(self, host: str, unready: Callable[[], Iterable[str]]) -> None:
        self._host, self._unready = host, unready
        self._ports: tuple[int | None, ...] = ()
        self._tasks: list[asyncio.Task[object]] = []

    async def open(self, corefile: Corefile) -> None:
        """Those of this Corefile; what it does not change stays open."""
        ports = (corefile.health, corefile.ready, corefile.prometheus)
        if ports == self._ports:
            return
        await self.close()
        self._ports = ports
        servers = {port: DebugServer(self._host, port) for port in ports if port is not None}
        if corefile.health is not None:
            servers[corefile.health].route("/health", _health)
        if corefile.ready is not None:
            servers[corefile.ready].route("/ready", self._ready)
        self._tasks = [asyncio.ensure_future(self._serve(port, server)) for port, server in servers.items()]

    async def close(self) -> None:
        await cancel_and_wait(*self._tasks)
        self._tasks = []

    async def _serve(self, port: int, server: DebugServer) -> None:
        try:
            await server.run(asyncio.Event())
        except OSError as error:
            # Without it nobody learns how we are; but what we are here for goes on.
            log.error("port %d: %s", port, error)

    async def _ready(self, _: web.Request) -> web.Response:
        names = sorted(self._unready())
        if not names:
            return web.Response(text="OK")
        text = ",".join(names)
        _ready.info('Still waiting on: "%s"', text)
        return web.Response(status=503, text=text)


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="OK")
