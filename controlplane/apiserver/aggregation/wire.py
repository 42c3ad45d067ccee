"""Joining the parts of aggregation, and starting its loops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from apimachinery.api.catalogue import APISERVICES
from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.aggregation.aggregator import Aggregator
from controlplane.apiserver.aggregation.apiservices import ApiServices
from controlplane.apiserver.aggregation.availability import Availability
from controlplane.apiserver.aggregation.proxy import AggregatorProxy
from controlplane.apiserver.aggregation.registration import Registration
from controlplane.apiserver.aggregation.remote_documents import RemoteDocuments
from controlplane.apiserver.aggregation.resolver import Resolver
from controlplane.apiserver.config import Config
from controlplane.apiserver.front.server import Route
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.storage.interface import Storage
from controlplane.apiserver.streams.forward import Forwarder


class Aggregation:
    """`over` stands before the server's own routes; then `ensure` and `start`, before the server is ready."""

    def __init__(
        self, config: Config, storage: Storage, registry: Registry, forwarder: Forwarder, clock: Clock
    ) -> None:
        index = ApiServices()
        store = registry.of(APISERVICES).store
        resolver = Resolver(
            registry,
            to_endpoints=config.enable_aggregator_routing,
            cert=config.proxy_client_cert_file,
            key=config.proxy_client_key_file,
        )
        self._registration = Registration(store, index, clock, registry.own)
        self._availability = Availability(registry, store, index, resolver, forwarder, clock)
        self._remote = RemoteDocuments(index, resolver, forwarder, clock)
        self._proxy = AggregatorProxy(
            resolver, forwarder, reject_redirects=config.aggregator_reject_forwarding_redirect
        )
        self._index = index
        self._services = Feed(storage, APISERVICES, index.put, index.drop)

    def over(self, local: Route) -> Route:
        """The route for every request; `local` serves what is this server's own."""
        return Aggregator(local, self._index, self._remote, self._proxy).serve

    async def ensure(self) -> None:
        """Make the local APIServices. Raises ApiError when the store does not answer; may be called again."""
        await self._registration.ensure_built_in()

    async def start(self, undo: AsyncExitStack, definitions: Feed) -> None:
        """Keep watch; ended by `undo`. Returns when the APIServices that are stored are known. definitions: tells of
        CustomResourceDefinitions, and is run by the caller afterwards."""
        definitions.also(self._registration.put, self._registration.drop)
        work = (
            self._services.run(),
            self._registration.run(definitions.synced),
            self._availability.run(),
            self._remote.run(),
        )
        undo.push_async_callback(cancel_and_wait, *(asyncio.create_task(each) for each in work))
        await self._services.synced.wait()
