"""Joining the parts of the extensions, and starting them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from apimachinery.api.catalogue import SERVICES
from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.extensions.controller import DefinitionController
from controlplane.apiserver.extensions.definitions import Definitions
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.storage.interface import Storage


class Extensions:
    """`start` makes the registry serve what definitions say, from then on."""

    def __init__(self, registry: Registry, storage: Storage, clock: Clock) -> None:
        self._controller = DefinitionController(registry, clock)
        self._webhooks = WebhookClient(registry.of(SERVICES).store)
        self._definitions = Definitions(registry, storage, self._webhooks, self._controller.changed)

    @property
    def definitions(self) -> Feed:
        """What tells of every CustomResourceDefinition."""
        return self._definitions.feed

    async def start(self, undo: AsyncExitStack) -> None:
        """Returns when the definitions that are stored are served; ended by `undo`."""
        tasks = [asyncio.create_task(self._definitions.feed.run()), asyncio.create_task(self._controller.run())]
        undo.push_async_callback(self._webhooks.close)
        undo.push_async_callback(cancel_and_wait, *tasks)
        await self._definitions.feed.synced.wait()
