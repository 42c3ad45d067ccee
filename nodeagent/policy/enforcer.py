"""Keeps the kernel's table in step with NetworkPolicies, pods and namespaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import ExitStack, closing

from apimachinery.api.catalogue import NAMESPACES, NETWORKPOLICIES, PODS
from apimachinery.cache.informer import Informer, InformerFactory
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import Clock
from apimachinery.kit.commands import CommandFailed
from apimachinery.meta import objects
from nodeagent.netlink.rule_events import RuleEvents

from .attached import Attached, is_meant
from .kernel import Nft
from .model import Object, read_pod, trim_pod
from .passes import Passes
from .plan import World, plan_rules
from .render import Table, build_table, render, render_change

log = logging.getLogger(__name__)

SETTLE = 0.1  # seconds from a change to the rules: what changes together is programmed together
PERIOD = 5.0  # seconds between looks at the kernel at least: what was flushed is back within ten
NOTICED = 2.0  # seconds from a notice of the kernel to the look
RARELY = 60.0  # seconds between looks while the kernel tells of no change
_PLAN, _LOOK = "policies", "kernel"


class Enforcer:
    """`run` works until cancelled. Pods and namespaces are watched from the first NetworkPolicy on, not before."""

    def __init__(self, node_name: str, factory: InformerFactory, nft: Nft, clock: Clock) -> None:
        self._node_name, self._factory, self._nft = node_name, factory, nft
        self._queue = WorkQueue(clock)
        self._policies = factory.get(NETWORKPOLICIES)
        self._pods: Informer | None = None
        self._namespaces: Informer | None = None
        self._table: Table | None = None
        self._applied = ""
        self._events: RuleEvents | None = None
        self._writing, self._unexplained = False, 0
        self._alone = asyncio.Lock()  # a look must not see half of what a pass does
        self._passes = Passes(self._program, self._alone)
        self._attached = Attached()
        self._pod_came = asyncio.Event()
        self._controller = Controller("network-policies", self._reconcile, self._queue)

    async def run(self) -> None:
        """Rules stay when it ends: an isolated pod does not become open because this process restarts."""
        self._policies.add_handler(self._changed, on_delete=self._changed)
        await self._policies.wait_synced()
        with ExitStack() as undo:
            self._listen(undo)
            self._changed({})
            await self._controller.run()

    @property
    def told(self) -> bool:
        """Whether the API has told of policies; before, their absence proves nothing."""
        return self._policies.has_synced

    async def wait_told(self) -> None:
        await self._policies.wait_synced()

    async def isolate(self, key: str, uid: str, ips: tuple[str, ...]) -> None:
        """Return when the policies of the pod `key`, which was just given these addresses, are in the kernel.

        At once in a namespace without policies. Else the pod is waited for as long as the API has not told of it: its
        labels choose the policies. uid: "" for any pod of that name. Raises CommandError when the kernel refuses."""
        namespace = key.partition("/")[0]
        if not any(objects.namespace(one) == namespace for one in self._policies.lister.list()):
            return
        pods, namespaces = self._watched()
        await pods.wait_synced()
        await namespaces.wait_synced()
        while (pod := pods.lister.get_by_key(key)) is None or not is_meant(pod, uid):
            self._pod_came.clear()
            await self._pod_came.wait()
        self._attached.note(pod, ips)
        await self._passes.complete()

    def _listen(self, undo: ExitStack) -> None:
        """Be told of changed rules by the kernel, where it can: looking costs nothing then while nobody changes any."""
        try:
            self._events = undo.enter_context(closing(RuleEvents()))
        except OSError as error:
            log.warning("cannot hear of changed rules: %s; looking every %g s", error, PERIOD)
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._events.fileno(), self._noticed)
        undo.callback(loop.remove_reader, self._events.fileno())

    def _noticed(self) -> None:
        """Somebody committed rules, perhaps we; kube-proxy does so often, so that one look answers for many."""
        assert self._events is not None
        self._unexplained += self._events.transactions()
        if self._unexplained > 0 and not self._writing:
            self._unexplained = 0
            if self._table is not None:
                self._queue.add_after(_LOOK, NOTICED)

    def _changed(self, _: Object) -> None:
        self._queue.add_after(_PLAN, SETTLE)

    def _pod_added(self, pod: Object) -> None:
        self._pod_came.set()
        self._changed(pod)

    def _pod_changed(self, old: Object, new: Object) -> None:
        if read_pod(old) != read_pod(new):
            self._changed(new)

    def _namespace_changed(self, old: Object, new: Object) -> None:
        if objects.labels(old) != objects.labels(new):
            self._changed(new)

    async def _reconcile(self, key: str) -> float | None:
        """One pass; for a look the seconds until the next, None while there is no policy.

        Raises CommandError when the kernel does not take the table; the former rules stay."""
        if key == _LOOK:
            async with self._alone:
                return await self._look()
        await self._passes.complete()
        return None

    async def _program(self) -> None:
        policies = self._policies.lister.list()
        if policies:
            await self._ensure(await self._plan(policies))
            return
        if await self._nft.listing():
            await self._write(self._nft.remove())
            log.info("no NetworkPolicy is left: removed the table")
        self._table, self._applied = None, ""

    async def _look(self) -> float | None:
        """Whether the kernel still has what was given to it; written again if not."""
        if self._table is None:
            return None
        if await self._nft.listing() != self._applied:
            log.info("somebody changed the table: writing it again")
            await self._replace(self._table)
        return PERIOD if self._events is None else RARELY

    async def _plan(self, policies: list[Object]) -> Table:
        pods, namespaces = self._watched()
        await pods.wait_synced()
        await namespaces.wait_synced()
        found = self._attached.read(pods.lister.list())
        labels = {objects.name(obj): objects.labels(obj) for obj in namespaces.lister.list()}
        return build_table(plan_rules(World(policies, found, labels), self._node_name))

    async def _ensure(self, table: Table) -> None:
        """What changed, in one transaction; the whole table where there was none or the kernel refuses the change."""
        if self._table is None:
            await self._replace(table)
            return
        change = render_change(self._table, table)
        if not change:
            return
        try:
            await self._write(self._nft.apply(change))
        except CommandFailed as error:
            log.info("replacing the table: %s", error)
            await self._replace(table)
            return
        self._table, self._applied = table, await self._nft.listing()

    async def _replace(self, table: Table) -> None:
        first = self._table is None
        await self._write(self._nft.apply(render(table)))
        self._table, self._applied = table, await self._nft.listing()
        if first:
            self._queue.add_after(_LOOK, PERIOD if self._events is None else RARELY)

    async def _write(self, work: Awaitable[None]) -> None:
        """A transaction of ours, of which the kernel tells as of any."""
        self._writing = True
        try:
            await work
            self._unexplained -= 1
        finally:
            self._writing = False
            if self._events is not None:
                self._noticed()
                self._unexplained = 0

    def _watched(self) -> tuple[Informer, Informer]:
        if self._pods is None or self._namespaces is None:
            self._pods = self._factory.get(PODS, transform=trim_pod)
            self._namespaces = self._factory.get(NAMESPACES)
            self._pods.add_handler(self._pod_added, self._pod_changed, self._changed)
            self._namespaces.add_handler(self._changed, self._namespace_changed, self._changed)
        return self._pods, self._namespaces
