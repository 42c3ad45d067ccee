"""Keeps the kernel's table in step with NetworkPolicies, pods and namespaces."""

from __future__ import annotations

import logging

from apimachinery.api.catalogue import NAMESPACES, NETWORKPOLICIES, PODS
from apimachinery.cache.informer import Informer, InformerFactory
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects

from .kernel import Nft
from .model import Object, read_pod, trim_pod
from .plan import World, plan_rules
from .render import render

log = logging.getLogger(__name__)

SETTLE = 0.1  # seconds from a change to the rules: what changes together is programmed together
PERIOD = 5.0  # seconds between looks at the kernel: what was flushed is back within ten
_KEY = "policies"


class Enforcer:
    """`run` works until cancelled. Pods and namespaces are watched from the first NetworkPolicy on, not before."""

    def __init__(self, node_name: str, factory: InformerFactory, nft: Nft, clock: Clock) -> None:
        self._node_name, self._factory, self._nft = node_name, factory, nft
        self._queue = WorkQueue(clock)
        self._policies = factory.get(NETWORKPOLICIES)
        self._pods: Informer | None = None
        self._namespaces: Informer | None = None
        self._wanted = self._applied = ""
        self._controller = Controller("network-policies", self._reconcile, self._queue)

    async def run(self) -> None:
        """Rules stay when it ends: an isolated pod does not become open because this process restarts."""
        self._policies.add_handler(self._changed, on_delete=self._changed)
        await self._policies.wait_synced()
        self._changed({})
        await self._controller.run()

    def _changed(self, _: Object) -> None:
        self._queue.add_after(_KEY, SETTLE)

    def _pod_changed(self, old: Object, new: Object) -> None:
        if read_pod(old) != read_pod(new):
            self._changed(new)

    def _namespace_changed(self, old: Object, new: Object) -> None:
        if objects.labels(old) != objects.labels(new):
            self._changed(new)

    async def _reconcile(self, _: str) -> float | None:
        """One pass; the seconds until the next, None while there is no policy.

        Raises CommandError when the kernel does not take the table; the former rules stay."""
        policies = self._policies.lister.list()
        if policies:
            await self._ensure(await self._render(policies))
            return PERIOD
        if await self._nft.listing():
            await self._nft.remove()
            log.info("no NetworkPolicy is left: removed the table")
        self._wanted = self._applied = ""
        return None

    async def _render(self, policies: list[Object]) -> str:
        pods, namespaces = self._watched()
        await pods.wait_synced()
        await namespaces.wait_synced()
        found = [pod for obj in pods.lister.list() if (pod := read_pod(obj)) is not None]
        labels = {objects.name(obj): objects.labels(obj) for obj in namespaces.lister.list()}
        return render(plan_rules(World(policies, found, labels), self._node_name))

    async def _ensure(self, text: str) -> None:
        if text == self._wanted and self._applied and await self._nft.listing() == self._applied:
            return
        await self._nft.apply(text)
        self._wanted, self._applied = text, await self._nft.listing()

    def _watched(self) -> tuple[Informer, Informer]:
        if self._pods is None or self._namespaces is None:
            self._pods = self._factory.get(PODS, transform=trim_pod)
            self._namespaces = self._factory.get(NAMESPACES)
            self._pods.add_handler(self._changed, self._pod_changed, self._changed)
            self._namespaces.add_handler(self._changed, self._namespace_changed, self._changed)
        return self._pods, self._namespaces
