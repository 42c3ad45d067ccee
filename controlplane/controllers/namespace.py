"""Namespace: empties a namespace that is being deleted, then lets it go (pkg/controller/namespace/deletion)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import NAMESPACES, Resource
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects, times
from apimachinery.meta.status import ApiError, is_method_not_allowed, is_not_found
from controlplane.controllers import conditions
from controlplane.controllers.context import Context
from controlplane.controllers.discovery import served_resources

Object = dict[str, Any]

NAME = "namespace-controller"
FINALIZER = "kubernetes"
# How long to wait before looking again at content that needs time to go, in seconds.
_LOOK_AGAIN = 5.0
_PARALLEL = 20


@dataclass(slots=True)
class Remains:
    """What is left in a namespace after a round of deletion.

    content: objects left by resource. finalizers: objects that each finalizer holds. wait: the longest grace period of
    what was deleted, in seconds. failures: what could not be deleted, as sentences.
    """

    content: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    wait: float = 0.0

    @property
    def empty(self) -> bool:
        """True when nothing is left and nothing failed."""
        return not self.content and not self.failures


def plan_conditions(namespace: Object, remains: Remains, discovery: str, now: datetime) -> list[Object]:
    """Return the conditions that tell what a terminating namespace waits for.

    discovery: why not all kinds of content are known, or empty.
    """
    found: list[Object] = list((namespace.get("status") or {}).get("conditions") or [])
    content = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(remains.content.items()))
    holders = ", ".join(f"{name} in {n} resource instances" for name, n in sorted(remains.finalizers.items()))
    failures = ", ".join(sorted(remains.failures))
    rows = (
        (
            "NamespaceDeletionDiscoveryFailure",
            discovery,
            ("DiscoveryFailed", "ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            ("GroupVersionParsingFailed", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            failures and f"Failed to delete all resource types, {len(remains.failures)} remaining: {failures}",
            (
                "ContentDeletionFailed",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        (
            "NamespaceContentRemaining",
            content and f"Some resources are remaining: {content}",
            ("SomeResourcesRemain", "ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            holders and f"Some content in the namespace has finalizers remaining: {holders}",
            ("SomeFinalizersRemain", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    )
    stamp = times.rfc3339(now)
    for kind, trouble, (bad, good, fine) in rows:
        current = conditions.find(found, kind)
        if trouble:
            changed = conditions.put(found, kind, "True", bad, str(trouble), stamp)
            # The numbers in the message are the point of these conditions.
            found = [{**c, "message": str(trouble)} if c["type"] == kind else c for c in changed]
        elif current is None or current.get("status") != "False":
            found = conditions.put(found, kind, "False", good, fine, stamp)
    return found


class ContentDeleter:
    """Deletes all objects of a namespace, of every kind the server serves."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock

    async def delete_all(self, namespace: str, resources: Sequence[Resource]) -> Remains:
        """Ask for the deletion of everything, then count what is left."""
        remains = Remains()
        gate = asyncio.Semaphore(_PARALLEL)

        async def one(resource: Resource) -> None:
            async with gate:
                try:
                    await self._delete_kind(namespace, resource, remains)
                except (ApiError, ApiUnreachable) as error:
                    remains.failures.append(str(error))

        await asyncio.gather(*(one(resource) for resource in resources))
        return remains

    async def _delete_kind(self, namespace: str, resource: Resource, remains: Remains) -> None:
        items = await self._list(resource, namespace)
        fresh = [item for item in items if not objects.is_deleting(item)]
        for start in range(0, len(fresh), _PARALLEL):
            await asyncio.gather(*(self._delete(resource, item) for item in fresh[start : start + _PARALLEL]))
        left = await self._list(resource, namespace) if items else []
        if not left:
            return
        remains.content[f"{resource.plural}.{resource.group}"] += len(left)
        for item in left:
            for finalizer in item["metadata"].get("finalizers") or ():
                remains.finalizers[finalizer] += 1
            remains.wait = max(remains.wait, float(item["metadata"].get("deletionGracePeriodSeconds") or 0))

    async def _list(self, resource: Resource, namespace: str) -> list[Object]:
        try:
            return (await self._client.list(resource, namespace))["items"] or []
        except ApiError as error:
            if is_not_found(error) or is_method_not_allowed(error):
                return []
            raise

    async def _delete(self, resource: Resource, item: Object) -> None:
        try:
            await self._client.delete(
                resource,
                objects.name(item),
                objects.namespace(item),
                uid=objects.uid(item),
                propagation="Background",
            )
        except ApiError as error:
            if not is_not_found(error):
                raise


class NamespaceController:
    """Reconciles namespaces that are being deleted."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._deleter = ContentDeleter(context.client, context.clock)
        informer = context.informer(NAMESPACES)
        self._namespaces = informer.lister
        self._queue = WorkQueue(context.clock, base=0.1, cap=60.0)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        informer.add_handler(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Delete the content; when none is left, take our finalizer off."""
        namespace = self._namespaces.get(key)
        if namespace is None or not objects.is_deleting(namespace):
            return None
        if FINALIZER not in ((namespace.get("spec") or {}).get("finalizers") or ()):
            return None
        namespace = await self._terminating(namespace)
        resources, discovery = await self._discover()
        remains = await self._deleter.delete_all(key, resources)
        if remains.empty and not discovery:
            await self._finalize(namespace)
            return None
        found = plan_conditions(namespace, remains, discovery, self._clock.now())
        await self._write_conditions(namespace, found)
        if remains.failures or discovery:
            said = ", ".join(text for text in (discovery, *remains.failures) if text)
            raise ApiUnreachable(f"content of namespace {key}: {said}")
        return _LOOK_AGAIN if remains.wait > 0 else 0.5

    async def _discover(self) -> tuple[list[Resource], str]:
        """Return what a namespace may hold, and what of it is not known: what is, is deleted all the same."""
        try:
            served = await served_resources(self._client, "list", "delete")
        except (ApiError, ApiUnreachable) as error:
            return [], str(error)
        missing = served.why_missing()
        failing = f"Discovery failed for some groups, {len(served.missing)} failing: {missing}" if missing else ""
        return [each for each in served.resources if each.namespaced], failing

    async def _terminating(self, namespace: Object) -> Object:
        if (namespace.get("status") or {}).get("phase") == "Terminating":
            return namespace
        status = {**(namespace.get("status") or {}), "phase": "Terminating"}
        return await self._client.update(NAMESPACES, {**namespace, "status": status}, "status")

    async def _write_conditions(self, namespace: Object, found: list[Object]) -> None:
        status: Mapping[str, Any] = namespace.get("status") or {}
        if found != status.get("conditions"):
            await self._client.update(NAMESPACES, {**namespace, "status": {**status, "conditions": found}}, "status")

    async def _finalize(self, namespace: Object) -> None:
        left = [f for f in namespace["spec"].get("finalizers") or () if f != FINALIZER]
        body = {**namespace, "spec": {**namespace["spec"], "finalizers": left}}
        try:
            await self._client.update(NAMESPACES, body, "finalize")
        except ApiError as error:
            if not is_not_found(error):
                raise

    def _changed(self, namespace: Object) -> None:
        if objects.is_deleting(namespace):
            self._queue.add(objects.name(namespace))
