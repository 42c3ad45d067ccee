"""Makes the real objects of the DNS server out of its configuration, again whenever the Corefile changed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from contextlib import AsyncExitStack

from apimachinery.cache.informer import InformerFactory
from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.config import ConfigError
from apimachinery.kit.metrics import Counter, Gauge
from apimachinery.kit.tasks import Fatal, cancel_and_wait, wait_first
from nodeagent.dns.block import Chain
from nodeagent.dns.cache import AnswerCache
from nodeagent.dns.cluster import ClusterSource
from nodeagent.dns.config import Config
from nodeagent.dns.corefile import BadSyntax, Block, Corefile, Refused
from nodeagent.dns.doors import Doors
from nodeagent.dns.forward import Forwarder
from nodeagent.dns.hosts import HostsTable
from nodeagent.dns.loop import LoopDetector
from nodeagent.dns.resolver import Resolver
from nodeagent.dns.server import Server

log = logging.getLogger("coredns")
_reload = logging.getLogger("plugin/reload")
_kubernetes = logging.getLogger("plugin/kubernetes")

STARTUP = 5.0  # seconds the first answers wait for the API; then what is not known is SERVFAIL (CoreDNS)

_FAILED = Counter("coredns_reload_failed_total", "Counter of the number of failed reload attempts.")
_VERSION = Gauge("coredns_reload_version_info", "A metric with a constant '1' value labeled by hash, and value which type of hash generated.", ["hash", "value"])  # noqa: E501  # fmt: skip


class Dns:
    """The DNS server with its informers and its side doors."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self._config, self._clock = config, clock or SystemClock()
        self._undo = AsyncExitStack()
        self._servers: dict[int, Server] = {}
        self._source: ClusterSource | None = None
        self._tasks: list[asyncio.Task[object]] = []
        self._probes: list[asyncio.Task[object]] = []
        self._looped: asyncio.Future[str] | None = None
        self._ending, self._lameduck = False, 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, and for as long as `lameduck` says after it. Raises Fatal for a loop of forwards,
        OSError when a port cannot be bound."""
        corefile = self._config.corefile
        self._looped = asyncio.get_running_loop().create_future()
        async with self._undo as undo:
            undo.push_async_callback(lambda: cancel_and_wait(*self._tasks, *self._probes))
            doors = Doors(self._config.bind or "0.0.0.0", self._unready)
            undo.push_async_callback(doors.close)
            undo.callback(self._close)
            await doors.open(corefile)
            await self._ensure_source(corefile)
            if self._source is not None:
                await self._wait_synced()
            await self._apply(corefile)
            _show_zones(corefile)
            self._tasks.append(asyncio.ensure_future(self._keep_current(corefile, doors)))
            self._tasks.append(asyncio.ensure_future(self._die_of_loop()))
            await wait_first(stop, *self._tasks)
            self._ending = True
            if self._lameduck:
                log.info("plugin/health: Going into lameduck mode for %gs", self._lameduck)
                await self._clock.sleep(self._lameduck)

    def _unready(self) -> Iterable[str]:
        if self._ending:
            return ["shutdown"]
        if self._source is not None and not self._source.has_synced:
            return ["kubernetes"]
        return [] if self._servers else ["server"]

    async def _ensure_source(self, corefile: Corefile) -> None:
        """The informers, from the first `kubernetes` on. Raises ConfigError where nothing says how to reach the API."""
        if self._source is not None or not any(block.kubernetes for block in corefile.blocks):
            return
        client = await self._undo.enter_async_context(Client(self._config.client(), "coredns"))
        factory = InformerFactory(client)
        self._source = ClusterSource(factory, self._forget)
        self._tasks.append(asyncio.ensure_future(factory.run()))

    async def _wait_synced(self) -> None:
        assert self._source is not None
        try:
            async with asyncio.timeout(STARTUP):
                await self._source.wait_synced()
        except TimeoutError:
            _kubernetes.warning("starting server with unsynced Kubernetes API")

    async def _apply(self, corefile: Corefile) -> None:
        """Answer by this Corefile. Raises OSError when a port cannot be bound; all is then as before."""
        await self._ensure_source(corefile)
        resolvers = {port: self._resolver(corefile, port) for port in corefile.ports}
        opened: dict[int, Server] = {}
        try:
            for port in corefile.ports:
                if port not in self._servers:
                    server = Server(resolvers[port], self._config.bind, port)
                    await server.open()
                    opened[port] = server
        except OSError:
            for server in opened.values():
                server.close()
            raise
        for port in self._servers.keys() - resolvers.keys():
            self._servers.pop(port).close()
        for port, server in self._servers.items():
            server.use(resolvers[port])
        self._servers |= opened
        self._lameduck = corefile.lameduck
        for task in self._probes:
            task.cancel()
        self._probes = [
            asyncio.ensure_future(chain.loop.probe(self._clock))
            for resolver in resolvers.values()
            for chain in resolver.chains
            if chain.loop is not None
        ]

    def _resolver(self, corefile: Corefile, port: int) -> Resolver:
        return Resolver([self._chain(block) for block in corefile.blocks if block.port == port], port, self._clock)

    def _chain(self, block: Block) -> Chain:
        source = self._source
        wanted = block.kubernetes is not None and source is not None
        return Chain(
            block,
            clusters=source.records(block.kubernetes) if wanted and source and block.kubernetes else (),
            synced=(lambda: source.has_synced) if source is not None else (lambda: True),
            hosts=HostsTable(block.hosts, self._clock) if block.hosts else None,
            cache=AnswerCache(block.cache, self._clock, f"dns://:{block.port}") if block.cache else None,
            forwarders=[Forwarder(forward, self._clock) for forward in block.forwards],
            loop=LoopDetector(block.zones[0], block.port, self._on_loop) if block.loop else None,
        )

    def _forget(self) -> None:
        for server in self._servers.values():
            server.forget()

    def _close(self) -> None:
        for server in self._servers.values():
            server.close()

    def _on_loop(self, words: str) -> None:
        if self._looped is not None and not self._looped.done():
            self._looped.set_result(words)

    async def _die_of_loop(self) -> None:
        assert self._looped is not None
        raise Fatal(await self._looped)

    async def _keep_current(self, corefile: Corefile, doors: Doors) -> None:
        """`reload`: look at the Corefile now and then. One that is wrong, or cannot be served, changes nothing."""
        digest = corefile.digest
        if corefile.reload is not None:
            _VERSION.labels("sha512", digest).set(1)
            _reload.info("Running configuration SHA512 = %s", digest)
        while corefile.reload is not None:
            half = corefile.reload.jitter / 2
            await self._clock.sleep(corefile.reload.interval + random.uniform(-half, half))
            try:
                found: Corefile | Refused = self._config.read()
            except Refused as refused:
                found = refused
            except BadSyntax as error:
                _reload.warning("Corefile parse failed: %s", error.problems[0])
                continue
            except ConfigError:
                continue  # while there is no file
            if found.digest == digest:
                continue
            log.info("Reloading")
            _VERSION.remove("sha512", digest)
            # The same file is not tried again, even though it may be wrong.
            digest = found.digest
            _VERSION.labels("sha512", digest).set(1)
            try:
                if isinstance(found, Refused):
                    raise found
                await self._apply(found)
            except (OSError, ConfigError) as error:
                why = error.problems[0] if isinstance(error, ConfigError) else str(error)
                log.error("Restart failed: %s", why)
                _reload.error("Corefile changed but reload failed: starting with listener file descriptors: %s", why)
                _FAILED.inc()
                continue
            await doors.open(found)
            corefile = found
            _reload.info("Running configuration SHA512 = %s", digest)
            log.info("Reloading complete")


def _show_zones(corefile: Corefile) -> None:
    """What is served, as CoreDNS prints it: at the start alone, and not as a line of the log."""
    for port, zone in sorted((block.port, ".".join(zone)) for block in corefile.blocks for zone in block.zones):
        print(f"{zone}.:{port}", flush=True)


def build(config: Config) -> Dns:
    return Dns(config)
