"""List, then watch, for ever; tell handlers what changed (client-go tools/cache: Reflector and SharedInformer).

A relist is compared with what is held, so that a handler sees each change once whatever happened to the connection.
What vanished while we were not looking is told as a deletion of its last known state.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.client.rest import ApiUnreachable, Client, WatchEvent
from apimachinery.kit.backoff import Backoff
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.trace import Delivery, current
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError

from .lister import Lister
from .sharing import Shared

log = logging.getLogger(__name__)

Object = dict[str, Any]
Transform = Callable[[Object], Object]

# What changes all the time and leads to nothing would crowd out of the trace what people want to understand.
_UNNOTED = frozenset({"leases.coordination.k8s.io", "events", "events.events.k8s.io"})

# A watch ends after a random while between these, in seconds, so that the watches of a restarted server spread out.
WATCH_MIN, WATCH_MAX = 300, 600


@dataclass(frozen=True, slots=True)
class _Handler:
    on_add: Callable[[Object], None]
    on_update: Callable[[Object, Object], None]
    on_delete: Callable[[Object], None]


def _ignore(*_: Object) -> None:
    """A handler nobody gave."""


def without_managed_fields(obj: Object) -> Object:
    """A transform: who set which field is most of a small object's bytes, and no controller of ours reads it."""
    obj["metadata"].pop("managedFields", None)
    return obj


class Informer:
    """The local copy of one kind (in one namespace, if given), filtered by the server.

    transform: changes an object as it arrives, before it is stored and told; for dropping what nobody reads.
    Handlers are plain functions called in order, from the task that runs `run`; they must be quick and must not raise
    (one that raises is logged and does not disturb the others). on_update gets equal objects after a resync only.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform = without_managed_fields,
        clock: Clock | None = None,
    ) -> None:
        self.resource, self._about = resource, resource.group_resource
        self.lister = Lister()
        self._shared = Shared()
        self._client, self._namespace = client, namespace
        self._label_selector, self._field_selector = label_selector, field_selector
        self._transform = transform
        self._clock = clock or SystemClock()
        self._backoff = Backoff(0.2, 30, self._clock)
        # Nobody is there to be spared, and whoever waits for this copy waits longer than the server was away.
        self._unreachable = Backoff(0.2, 5, self._clock)
        self._handlers: list[_Handler] = []
        self._synced = asyncio.Event()
        self._revision = ""
        self._failing = False

    @property
    def has_synced(self) -> bool:
        """Whether the copy has once been complete. Before, absence proves nothing."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def add_handler(
        self,
        on_add: Callable[[Object], None] = _ignore,
        on_update: Callable[[Object, Object], None] | None = None,
        on_delete: Callable[[Object], None] = _ignore,
    ) -> None:
        """A handler added late is told of everything held, as additions. Without on_update, updates go to on_add."""
        handler = _Handler(on_add, on_update or (lambda _, new: on_add(new)), on_delete)
        self._handlers.append(handler)
        for obj in self.lister.list():
            self._call(handler.on_add, obj)

    async def run(self) -> None:
        """Keep the copy current until cancelled. Never raises: a server that is away is waited for, with backoff, and
        an answer that nobody can read ends no daemon: it is logged as the defect that it is, and asked for again."""
        while True:
            try:
                await self._list()
                self._recovered()
                await self._watch_until_gone()
            except (ApiError, ApiUnreachable) as error:
                await self._wait_after(error)
            except Exception as error:
                log.exception("following %s failed", self.resource.plural)
                await self._wait_after(error)

    async def _list(self) -> None:
        answer = await self._client.list(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        listed: set[str] = set()
        for item in answer["items"] or []:
            listed.add(objects.key(item))
            self._store(item)
        for key in self.lister.keys_except(listed):
            self._drop(key)
        self._revision = answer["metadata"]["resourceVersion"]
        self._synced.set()

    async def _watch_until_gone(self) -> None:
        """Watch from the last revision seen, again and again; returns when that revision is no longer held."""
        while True:
            try:
                async for event in self._client.watch(
                    self.resource,
                    self._namespace,
                    label_selector=self._label_selector,
                    field_selector=self._field_selector,
                    resource_version=self._revision,
                    timeout_seconds=random.randint(WATCH_MIN, WATCH_MAX),
                ):
                    self._recovered()
                    self._apply(event)
            except ApiUnreachable as error:
                await self._wait_after(error)
            except ApiError as error:
                if error.code == 410:
                    log.info("%s: revision %s is no longer held, listing again", self.resource.plural, self._revision)
                    return
                await self._wait_after(error)

    def _apply(self, event: WatchEvent) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self._store(event.object)
        elif event.type == "DELETED":
            self._drop(objects.key(event.object), event.object)
        self._revision = event.object["metadata"]["resourceVersion"]

    def _store(self, obj: Object) -> None:
        obj = self._transform(obj)
        held = self.lister.get_by_key(objects.key(obj))
        if held is not None and objects.resource_version(held) == objects.resource_version(obj):
            return
        if held is not None and objects.uid(held) != objects.uid(obj):
            self._drop(objects.key(obj))  # deleted and made again under the same name while we were not looking
            held = None
        self._shared.fold(obj)
        self.lister.put(obj)
        with self._telling("ADDED" if held is None else "MODIFIED", obj):
            for handler in self._handlers:
                if held is None:
                    self._call(handler.on_add, obj)
                else:
                    self._call(handler.on_update, held, obj)

    def _drop(self, key: str, last: Object | None = None) -> None:
        held = self.lister.remove(key)
        if held is None:
            return
        with self._telling("DELETED", last or held):
            for handler in self._handlers:
                self._call(handler.on_delete, self._transform(last) if last is not None else held)

    def _telling(self, how: str, obj: Object) -> Delivery:
        # What the first list shows was delivered to nobody: it was there before us.
        trace = current() if self._synced.is_set() and self._about not in _UNNOTED else None
        return Delivery(trace, (self._about, objects.key(obj), objects.resource_version(obj)), how)

    def _call(self, function: Callable[..., None], *args: Object) -> None:
        try:
            function(*args)
        except Exception:
            log.exception("a handler of %s failed on %s", self.resource.plural, objects.key(args[-1]))

    async def _wait_after(self, error: Exception) -> None:
        backoff = self._unreachable if isinstance(error, ApiUnreachable) else self._backoff
        if not self._failing:
            self._failing = True
            log.warning("%s: %s; trying again with backoff", self.resource.plural, error)
        await self._client.pause(backoff.next("") * random.uniform(0.8, 1.2), self._clock)

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            log.info("%s: the server answers again", self.resource.plural)
        self._backoff.reset("")
        self._unreachable.reset("")


class InformerFactory:
    """One informer for each kind and filter, shared by all who ask for it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[Resource, str | None, str, str], Informer] = {}
        self._group: asyncio.TaskGroup | None = None
        self._asked: dict[Informer, None] | None = None

    @contextmanager
    def noting(self) -> Iterator[dict[Informer, None]]:
        """Notes what is asked for in the block, in order."""
        asked: dict[Informer, None] = {}
        self._asked = asked
        try:
            yield asked
        finally:
            self._asked = None

    def get(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform = without_managed_fields,
    ) -> Informer:
        """The informer; one asked for while `run` is under way starts at once. transform: the first asker's holds."""
        key = (resource, namespace, label_selector, field_selector)
        if key not in self._informers:
            informer = self._informers[key] = Informer(
                self._client,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                transform=transform,
            )
            if self._group is not None:
                self._group.create_task(informer.run())
        if self._asked is not None:
            self._asked[self._informers[key]] = None
        return self._informers[key]

    async def run(self) -> None:
        """Run all of them until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for informer in self._informers.values():
                group.create_task(informer.run())
            await asyncio.Event().wait()

    @property
    def synced(self) -> bool:
        """Whether every informer asked for so far has synced."""
        return all(informer.has_synced for informer in self._informers.values())

    async def wait_synced(self) -> None:
        """Return when every informer asked for so far has synced."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()
