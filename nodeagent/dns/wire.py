"""Makes the real objects of the DNS server out of its configuration; nothing else does."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from aiohttp import web

from apimachinery.api.catalogue import ENDPOINTSLICES, NAMESPACES, SERVICES
from apimachinery.cache.informer import Informer, InformerFactory
from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.debug import DebugServer
from apimachinery.kit.tasks import cancel_and_wait, wait_first
from nodeagent.dns.cache import AnswerCache
from nodeagent.dns.config import Config
from nodeagent.dns.forward import Forwarder
from nodeagent.dns.records import (
    BY_ADDRESS,
    BY_SERVICE,
    ClusterRecords,
    service_addresses,
    slice_addresses,
    slice_service,
)
from nodeagent.dns.resolver import Resolver
from nodeagent.dns.server import Server


class Dns:
    """The DNS server with its informers and its side doors."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. The sockets open when the informers have synced: absence proves nothing before."""
        config, clock = self._config, SystemClock()
        async with AsyncExitStack() as undo:
            clusters: list[ClusterRecords] = []
            informers: list[Informer] = []
            tasks: list[asyncio.Task[object]] = []
            undo.push_async_callback(lambda: cancel_and_wait(*tasks))
            if config.client is not None:
                client = await undo.enter_async_context(Client(config.client, "coredns"))
                factory = InformerFactory(client)
                informers, clusters = _cluster(config, factory)
                tasks.append(asyncio.ensure_future(factory.run()))
            for server in self._doors(informers):
                tasks.append(asyncio.ensure_future(server.run(stop)))
            tasks.append(asyncio.ensure_future(self._serve(stop, informers, clusters, clock)))
            await wait_first(stop, *tasks)

    async def _serve(
        self, stop: asyncio.Event, informers: list[Informer], clusters: list[ClusterRecords], clock: Clock
    ) -> None:
        for informer in informers:
            await informer.wait_synced()
        corefile = self._config.corefile
        resolver = Resolver(
            clusters,
            corefile.kubernetes is not None and corefile.kubernetes.reverse,
            AnswerCache(corefile.cache, clock),
            [Forwarder(forward) for forward in corefile.forwards],
        )
        await Server(resolver, self._config.bind, corefile.port).run(stop)

    def _doors(self, informers: list[Informer]) -> list[DebugServer]:
        """CoreDNS's own: /health, /ready and /metrics, each on the port that the Corefile gives it."""

        async def health(_: web.Request) -> web.Response:
            return web.Response(text="OK")

        async def ready(_: web.Request) -> web.Response:
            if all(informer.has_synced for informer in informers):
                return web.Response(text="OK")
            return web.Response(status=503, text="kubernetes")

        corefile, bind = self._config.corefile, self._config.bind
        doors = []
        for port, path, handler in (
            (corefile.health, "/health", health),
            (corefile.ready, "/ready", ready),
            (corefile.prometheus, None, None),
        ):
            if port is not None:
                door = DebugServer(bind, port)
                if path is not None and handler is not None:
                    door.route(path, handler)
                doors.append(door)
        return doors


def build(config: Config) -> Dns:
    return Dns(config)


def _cluster(config: Config, factory: InformerFactory) -> tuple[list[Informer], list[ClusterRecords]]:
    kubernetes = config.corefile.kubernetes
    assert kubernetes is not None
    services, slices, namespaces = (factory.get(each) for each in (SERVICES, ENDPOINTSLICES, NAMESPACES))
    services.lister.add_index(BY_ADDRESS, service_addresses)
    slices.lister.add_index(BY_SERVICE, slice_service)
    slices.lister.add_index(BY_ADDRESS, slice_addresses)
    changes = 0

    def count(*_: object) -> None:
        nonlocal changes
        changes += 1

    services.add_handler(count, count, count)
    slices.add_handler(count, count, count)
    clusters = [
        ClusterRecords(
            zone,
            services.lister,
            slices.lister,
            namespaces.lister,
            ttl=kubernetes.ttl,
            pods=kubernetes.pods,
            serial=lambda: changes,
        )
        for zone in kubernetes.zones
    ]
    return [services, slices, namespaces], clusters
