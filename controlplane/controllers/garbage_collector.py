"""Garbage collector: deletes objects whose owners are all gone; foreground and orphaning deletion (KEP-2336's rules).

(pkg/controller/garbagecollector.) Nothing is deleted on the strength of a cache: the object and each of its owners are
read from the API first, and the deletion holds only for the uid and version that were read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.cache.informer import Informer
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.discovery import served_resources
from controlplane.controllers.owners_plan import Absent, Owners, coordinates, metadata_only, plan_deletion
from controlplane.controllers.ownership_graph import FOREGROUND, ORPHAN, Item, OwnershipGraph, owner_references

log = logging.getLogger(__name__)

Object = dict[str, Any]
NAME = "garbage-collector-controller"
# Events own nothing, are owned by nothing, and are many.
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
DISCOVERY_PERIOD = 30.0
SYNC_PATIENCE = 30.0
"""Seconds after which kinds that cannot be listed (a webhook of theirs is away) no longer hold up all others."""


class GarbageCollector:
    """Reconciles objects by uid."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context, self._client, self._clock = context, context.client, context.clock
        self._recorder = context.recorder(NAME)
        self._graph = OwnershipGraph()
        self._resources: dict[tuple[str, str], Resource] = {}  # by group and kind
        self._versions: frozenset[str] = frozenset()
        self._informers: dict[Resource, Informer] = {}
        self._missing = ""
        self._absent = Absent()
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])

    def recall(self, other: GarbageCollector) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._graph, self._resources = other._graph.copy(), dict(other._resources)
        self._versions = other._versions
        self._absent = other._absent.copy()

    def picture(self, loop: str, key: str) -> Object:
        """Each owner that should be there and whether it is; what an object that waits to go still waits for."""
        item = self._graph.items.get(key)
        if item is None:
            return {"object": None, "rows": []}
        about = {"kind": item.kind, "key": f"{item.namespace}/{item.name}".lstrip("/"), "deleting": item.deleting}
        rows: list[list[Any]] = [
            [f"owner {ref.get('kind', '')} {ref.get('name', '')}", "there", self._state_of(item, ref)]
            for ref in item.owners
        ]
        if item.virtual:
            rows.append(["is there", "as those say that it owns", "not seen"])
        if item.deletes_dependents:
            rows.append(["dependents that block", 0, len(self._graph.blocking(item))])
        if item.orphans_dependents:
            rows.append(["dependents that name it", 0, len(item.dependents)])
        return {"object": about, "rows": rows}

    def _state_of(self, item: Item, reference: Object) -> str:
        owner = self._graph.items.get(reference["uid"])
        if self._absent.holds(reference, item.namespace):
            return "gone"
        if owner is None or owner.virtual:
            return "not seen"
        return "waits for its dependents to go" if owner.deletes_dependents else "there"

    async def run(self) -> None:
        """Work until cancelled; the first deletion happens after every kind has synced that can be listed."""
        while not await self._discover():
            await self._clock.sleep(1.0)
        try:
            async with asyncio.timeout(SYNC_PATIENCE):
                await asyncio.gather(*(informer.wait_synced() for informer in self._informers.values()))
        except TimeoutError:
            log.warning("%s: not all kinds could be listed, proceeding anyway", NAME)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.run())
            group.create_task(self._keep_discovering())

    async def reconcile(self, key: str) -> float | None:
        """Look at one object and do what its owners, or its own deletion, ask for."""
        item = self._graph.items.get(key)
        if item is None:
            return None
        resource = item.resource or self._resource_of(item.api_version, item.kind)
        if resource is None:
            # An owner of a kind that is not served: nobody can say whether it exists.
            return DISCOVERY_PERIOD
        live = await self._live(resource, item.namespace, item.name)
        if live is None or objects.uid(live) != item.uid:
            namespace = item.namespace if resource.namespaced else ""
            self._absent.note((item.api_version, item.kind, item.name, item.uid, namespace))
            if item.virtual:
                self._enqueue(self._graph.remove(item.uid))
            return None
        if item.virtual:
            # It exists; its informer will show it.
            return DISCOVERY_PERIOD
        finalizers = live["metadata"].get("finalizers") or ()
        if objects.is_deleting(live) and ORPHAN in finalizers:
            await self._orphan_dependents(item, resource, live)
            return None
        if objects.is_deleting(live) and FOREGROUND in finalizers:
            return await self._finish_foreground(item, resource, live)
        if objects.is_deleting(live):
            return None
        await self._collect(item, resource, live)
        return None

    async def _collect(self, item: Item, resource: Resource, live: Object) -> None:
        references = owner_references(live)
        if not references:
            return
        owners = await self._sort(item, references)
        policy = plan_deletion(
            owners, has_dependents=bool(item.dependents), finalizers=frozenset(live["metadata"].get("finalizers") or ())
        )
        if policy is not None:
            log.info("Deleting item %s %s/%s, propagation %s", item.kind, item.namespace, item.name, policy)
            if owners.waiting and item.dependents:
                await self._unblock(item)
            await self._delete(resource, live, policy)
        elif owners.dangling or owners.waiting:
            gone = {ref["uid"] for ref in (*owners.dangling, *owners.waiting)}
            await self._set(resource, live, ownerReferences=[r for r in references if r["uid"] not in gone])

    async def _sort(self, item: Item, references: list[Object]) -> Owners:
        owners = Owners()
        for reference in references:
            resource = self._resource_of(reference.get("apiVersion", ""), reference.get("kind", ""))
            # Before what is remembered: such an owner is never looked for, so that its end is nothing to the dependent.
            if resource is not None and resource.namespaced and not item.namespace:
                self._complain(item, reference)
                owners.solid.append(reference)
                continue
            if self._absent.holds(reference, item.namespace):
                owners.dangling.append(reference)
                continue
            if resource is None:
                owners.solid.append(reference)
                continue
            namespace = item.namespace if resource.namespaced else ""
            live = await self._live(resource, namespace, reference["name"])
            if live is None or objects.uid(live) != reference["uid"]:
                elsewhere = self._graph.items.get(reference["uid"])
                if elsewhere is not None and not elsewhere.virtual and elsewhere.namespace != item.namespace:
                    self._complain(item, reference)
                else:
                    self._absent.note((*coordinates(reference), namespace))
                owners.dangling.append(reference)
            elif objects.is_deleting(live) and FOREGROUND in (live["metadata"].get("finalizers") or ()):
                owners.waiting.append(reference)
            else:
                owners.solid.append(reference)
        return owners

    async def _finish_foreground(self, item: Item, resource: Resource, live: Object) -> float | None:
        """Let the owner go when no dependent blocks it; otherwise see to the dependents."""
        blocking = self._graph.blocking(item)
        if blocking:
            self._enqueue({dependent.uid for dependent in blocking if not dependent.deletes_dependents})
            return None
        await self._drop_finalizer(resource, live, FOREGROUND)
        return None

    async def _orphan_dependents(self, item: Item, resource: Resource, live: Object) -> None:
        """Take the owner out of its dependents' references, then let it go."""
        dependents = [self._graph.items[uid] for uid in item.dependents if uid in self._graph.items]
        await asyncio.gather(*(self._let_go(dependent, item.uid) for dependent in dependents))
        await self._drop_finalizer(resource, live, ORPHAN)

    async def _let_go(self, dependent: Item, owner_uid: str) -> None:
        if dependent.resource is None:
            return
        live = await self._live(dependent.resource, dependent.namespace, dependent.name)
        if live is None or objects.uid(live) != dependent.uid:
            return
        references = owner_references(live)
        kept = [ref for ref in references if ref["uid"] != owner_uid]
        if kept != references:
            await self._set(dependent.resource, live, ownerReferences=kept)

    async def _unblock(self, item: Item) -> None:
        """Break a possible cycle: dependents of an object deleted in the foreground must not block its owner."""
        for uid in list(item.dependents):
            dependent = self._graph.items.get(uid)
            if dependent is None or dependent.resource is None or not dependent.deletes_dependents:
                continue
            live = await self._live(dependent.resource, dependent.namespace, dependent.name)
            if live is None or objects.uid(live) != uid:
                continue
            references = [
                {**ref, "blockOwnerDeletion": False} if ref.get("blockOwnerDeletion") else ref
                for ref in owner_references(live)
            ]
            if references != owner_references(live):
                await self._set(dependent.resource, live, ownerReferences=references)

    async def _drop_finalizer(self, resource: Resource, live: Object, finalizer: str) -> None:
        kept = [f for f in live["metadata"].get("finalizers") or () if f != finalizer]
        await self._set(resource, live, finalizers=kept)

    async def _set(self, resource: Resource, live: Object, **metadata: list[Any]) -> None:
        """Replace lists of the metadata, of this very version of the object."""
        lists = {key: value or None for key, value in metadata.items()}
        body: Object = {"metadata": {"resourceVersion": objects.resource_version(live), **lists}}
        try:
            await self._client.patch(resource, objects.name(live), body, objects.namespace(live) or None, kind="merge")
        except ApiError as error:
            if not is_not_found(error):
                raise

    async def _delete(self, resource: Resource, live: Object, policy: str) -> None:
        try:
            await self._client.delete(
                resource,
                objects.name(live),
                objects.namespace(live) or None,
                uid=objects.uid(live),
                resource_version=objects.resource_version(live),
                propagation=policy,
            )
        except ApiError as error:
            if is_conflict(error):
                self._queue.add_rate_limited(objects.uid(live))
            elif not is_not_found(error):
                raise

    async def _live(self, resource: Resource, namespace: str, name: str) -> Object | None:
        try:
            return await self._client.get(resource, name, namespace or None)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise

    def _complain(self, item: Item, reference: Object) -> None:
        about = {
            "apiVersion": item.api_version,
            "kind": item.kind,
            "metadata": {"name": item.name, "namespace": item.namespace, "uid": item.uid},
        }
        where = f"[{reference['apiVersion']}/{reference['kind']}, namespace: {item.namespace}, "
        where += f"name: {reference['name']}, uid: {reference['uid']}]"
        message = f'ownerRef {where} does not exist in namespace "{item.namespace}"'
        self._recorder.event(about, "Warning", "OwnerRefInvalidNamespace", message)

    def _resource_of(self, api_version: str, kind: str) -> Resource | None:
        """The kind in the version that we watch, whichever served one is named; None for what nobody serves."""
        group = api_version.rpartition("/")[0]
        return self._resources.get((group, kind)) if api_version in self._versions else None

    def _enqueue(self, uids: set[str]) -> None:
        for uid in uids:
            self._queue.add(uid)

    async def _keep_discovering(self) -> None:
        while True:
            await self._clock.sleep(DISCOVERY_PERIOD)
            await self._discover()

    async def _discover(self) -> bool:
        """Watch every kind that can be deleted; returns False when none is known, or a server answered oddly.

        A group whose server is away is asked for again later. Until then its objects keep what they own.
        """
        try:
            served = await served_resources(self._client, "list", "watch", "delete")
        except (ApiError, ApiUnreachable) as error:
            log.warning("%s: discovery: %s", NAME, error)
            return False
        except Exception:  # the words of somebody's aggregated server
            log.exception("%s: discovery", NAME)
            return False
        missing = served.why_missing()
        if missing and missing != self._missing:
            log.warning("%s: discovery: %s", NAME, missing)
        self._missing, self._versions = missing, served.versions
        for resource in served.resources:
            known = self._resources.get((resource.group, resource.kind))
            watched = known is not None and known.api_version in served.versions
            if watched or (resource.group, resource.plural) in IGNORED:
                continue
            self._resources[(resource.group, resource.kind)] = resource
            informer = self._informers[resource] = self._context.informers.get(resource, transform=metadata_only)
            self._listen(informer, resource)
        return bool(served.resources)

    def _listen(self, informer: Informer, resource: Resource) -> None:
        def seen(obj: Object) -> None:
            self._enqueue(self._graph.observe(resource, obj))

        def gone(obj: Object) -> None:
            named = (resource.api_version, resource.kind, objects.name(obj), objects.uid(obj))
            self._absent.note((*named, objects.namespace(obj)))
            self._enqueue(self._graph.remove(objects.uid(obj)))

        informer.add_handler(seen, lambda _, new: seen(new), gone)
