"""What the proxy tells load balancers: whether it keeps up (port 10256), and where a Service has local endpoints."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from aiohttp import web

from apimachinery.kit.clock import Clock
from apimachinery.kit.debug import unknown, unnamed
from apimachinery.meta import times

from .proxier import Proxier

log = logging.getLogger(__name__)

# A node that a cluster autoscaler is about to delete should get no new connections (KEP-3836).
DELETION_TAINT = "ToBeDeletedByClusterAutoscaler"

_Serves = tuple[tuple[str, str], tuple[str, ...]]  # the Service (namespace, name), and the addresses to answer on


class Eligibility:
    """Whether the node may get new traffic: not when it is about to be deleted, or being deleted.

    A Node that is gone leaves what it said last: its machine, tainted before, is not to be offered again.
    """

    def __init__(self) -> None:
        self._eligible = True

    def __call__(self) -> bool:
        return self._eligible

    def seen(self, node: dict[str, Any]) -> None:
        """The node's own Node, as it is or as it was when it was deleted."""
        taints = (node.get("spec") or {}).get("taints") or []
        leaving = any(taint.get("key") == DELETION_TAINT for taint in taints)
        self._eligible = not leaving and not node["metadata"].get("deletionTimestamp")


class Healthz:
    """GET /healthz and /livez: 200 while rules are no older than `limit` seconds behind; else 503.

    Before anything is known that rules would be behind of, as with the API away at the start, all is well.
    eligible: whether the node may get new traffic; /livez does not ask it (KEP-3836).
    """

    def __init__(self, proxiers: Sequence[Proxier], clock: Clock, limit: float, eligible: Callable[[], bool]) -> None:
        self._proxiers, self._clock, self._limit, self._eligible = proxiers, clock, limit, eligible
        self._behind_since: float | None = None
        self._started = clock.monotonic()

    def queued(self) -> None:
        """A change waits to be written."""
        if self._caught_up():
            self._behind_since = self._clock.monotonic()

    def healthy(self) -> bool:
        since = self._behind_since
        return since is None or self._caught_up() or self._clock.monotonic() - since < self._limit

    def _caught_up(self) -> bool:
        """Whether nothing waits of what was told; whoever asks may ask long after it was written."""
        since, synced = self._behind_since, [proxier.last_sync for proxier in self._proxiers]
        return since is None or (bool(synced) and all(at is not None and at >= since for at in synced))

    async def serve(self, host: str, port: int, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises OSError when the address cannot be bound."""
        app = web.Application(middlewares=[unknown])
        app.on_response_prepare.append(unnamed)
        app.router.add_route("*", "/healthz", self._healthz)
        app.router.add_route("*", "/livez", self._livez)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        eligible = self._eligible()
        well = self.healthy() and eligible
        return _json(f'{self._times(well)}, "nodeEligible": {json.dumps(eligible)}}}', well)

    async def _livez(self, _: web.Request) -> web.Response:
        well = self.healthy()
        return _json(f"{self._times(well)}}}", well)

    def _times(self, well: bool) -> str:
        """The beginning of an answer, with upstream's spaces. What is well is up to date, whenever it was written."""
        now = self._moment(self._clock.monotonic())
        updated = now if well else self._moment(self._last_updated())
        return f'{{"lastUpdated": "{updated}","currentTime": "{now}"'

    def _last_updated(self) -> float:
        """Monotonic: the last sync of a family that is behind, or else of any; the start, before there was one."""
        since = self._behind_since
        synced = [self._started if one.last_sync is None else one.last_sync for one in self._proxiers]
        behind = [at for at in synced if since is not None and at < since]
        return behind[0] if behind else max(synced, default=self._started)

    def _moment(self, at: float) -> str:
        """As Go prints a time of its own clock. at: monotonic."""
        moment = self._clock.now() - timedelta(seconds=self._clock.monotonic() - at)
        return f"{times.go_string(moment)} m=+{at - self._started:.9f}"


class ServiceHealth:
    """One HTTP server on every healthCheckNodePort: 200 where the Service has endpoints on this node, else 503.

    A balancer may share out by the number of them, which a header tells.
    """

    def __init__(self, healthy: Callable[[], bool], failed: Callable[[tuple[str, str], int, str], None]) -> None:
        """failed: is told of a port that cannot be served, of the Service (namespace, name), and why."""
        self._healthy, self._failed = healthy, failed
        self._runners: dict[tuple[str, int], tuple[_Serves, web.AppRunner]] = {}

    async def serve(self, proxier: Proxier) -> None:
        """Open and close servers so that they are those of the family's Services.

        A port that is taken is told of, and tried again the next time.
        """
        hosts = proxier.health_check_hosts()
        wanted = {port: (service, hosts) for port, service in proxier.health_check_ports().items()}
        for key, (serves, runner) in list(self._runners.items()):
            if key[0] == proxier.label and wanted.get(key[1]) != serves:
                await runner.cleanup()
                del self._runners[key]
        for port, serves in wanted.items():
            if (proxier.label, port) not in self._runners:
                await self._open(proxier, port, serves)

    async def close(self) -> None:
        for _, runner in self._runners.values():
            await runner.cleanup()
        self._runners.clear()

    async def _open(self, proxier: Proxier, port: int, serves: _Serves) -> None:
        service, hosts = serves

        async def answer(_: web.Request) -> web.Response:
            count = proxier.local_ready(*service)
            body: dict[str, Any] = {
                "service": {"namespace": service[0], "name": service[1]},
                "localEndpoints": count,
                "serviceProxyHealthy": self._healthy(),
            }
            well = bool(count) and body["serviceProxyHealthy"]
            return _json(json.dumps(body, indent="\t"), well, {"X-Load-Balancing-Endpoint-Weight": str(count)})

        app = web.Application()
        app.on_response_prepare.append(unnamed)
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            for host in hosts:
                await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            place = f"[{host}]" if proxier.family == 6 else host
            why = f"listen tcp {place}:{port}: bind: {os.strerror(error.errno or 0).lower()}"
            log.error("Failed to start healthcheck of %s/%s on port %d: %s", *service, port, why)
            self._failed(service, port, why)
            return
        self._runners[proxier.label, port] = (serves, runner)


def _json(body: str, well: bool, headers: Mapping[str, str] | None = None) -> web.Response:
    plain = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=body, status=200 if well else 503, headers={**plain, **(headers or {})})
