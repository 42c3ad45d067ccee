"""Names, the conditions and the end of definitions: what upstream's naming, establishing, API approval and finalizing
controllers write (k8s.io/apiextensions-apiserver/pkg/controller).

Every server runs it; writes are compare-and-set, and two servers come to the same result.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from apimachinery.api.catalogue import CUSTOMRESOURCEDEFINITIONS
from apimachinery.kit.clock import Clock
from apimachinery.meta import fields, labels, status, times
from controlplane.apiserver.authn.user import MASTERS, User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.extensions.definition import ESTABLISHED, FINALIZER, NAMES_ACCEPTED, TERMINATING, is_true
from controlplane.apiserver.extensions.names import plan_status, with_condition
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.delete import DeleteOptions, delete_collection, take_away
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.storage.interface import StorageError

log = logging.getLogger(__name__)

Object = dict[str, Any]

_RETRY = 5.0
_LOOK_AGAIN = 0.5
_EVERYTHING = Selection(labels.EVERYTHING, fields.EVERYTHING)
_SELF = User("system:apiserver", groups=(MASTERS,))


async def _allowed(_: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


class DefinitionController:
    """`changed(name)` asks for a look at one definition; `run` looks."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry, self._clock = registry, clock
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()
        self._later: dict[str, asyncio.Task[None]] = {}

    def changed(self, name: str) -> None:
        """That definition came, changed or went."""
        self._wanted.add(name)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._wanted:
                    name = self._wanted.pop()
                    try:
                        await self._sync(name)
                    except (status.ApiError, StorageError) as error:
                        log.warning("CustomResourceDefinition %s: %s", name, error)
                        self._again(name, _RETRY)
        finally:
            for task in self._later.values():
                task.cancel()

    def _again(self, name: str, seconds: float) -> None:
        async def wait() -> None:
            await self._clock.sleep(seconds)
            self._later.pop(name, None)
            self.changed(name)

        if name not in self._later:
            self._later[name] = asyncio.create_task(wait())

    async def _sync(self, name: str) -> None:
        store = self._registry.of(CUSTOMRESOURCEDEFINITIONS).store
        current = await store.find("", name)
        everything = await store.all()
        group = name.partition(".")[2]
        if current is None:
            # Its names are free: whoever waited for them may have them.
            self._try_again(everything, group)
            return
        now = times.rfc3339(self._clock.now())
        others = [each for each in everything if each["spec"]["group"] == group and each["metadata"]["name"] != name]
        state = plan_status(current, others, now)
        if state != current.get("status"):
            names_before = (current.get("status") or {}).get("acceptedNames")
            try:
                current = await store.replace({**current, "status": state}, current)
                if state["acceptedNames"] != names_before:
                    self._try_again(others, group)  # a name may have been given up
            except status.ApiError as error:
                if not status.is_conflict(error) and not status.is_not_found(error):
                    raise
                self.changed(name)
                return
        if current["metadata"].get("deletionTimestamp") and FINALIZER in (current["metadata"].get("finalizers") or ()):
            await self._finalize(name, current, now)

    def _try_again(self, definitions: list[Object], group: str) -> None:
        """Those of the group that wait for a name."""
        for each in definitions:
            if each["spec"]["group"] == group and not is_true(each, NAMES_ACCEPTED):
                self._wanted.add(each["metadata"]["name"])

    async def _finalize(self, name: str, current: Object, now: str) -> None:
        """Delete the objects, wait for them, let the definition go."""
        definitions = self._registry.of(CUSTOMRESOURCEDEFINITIONS)
        left = 0
        resource = self._registry.defined(current["spec"]["group"], current["spec"]["names"]["plural"])
        if resource is not None:
            collection = self._registry.of(resource)
            call = Call(_SELF, resource, "deletecollection", "", "", _allowed)
            await delete_collection(collection, call, DeleteOptions(propagation="Background"), _EVERYTHING)
            left = len((await collection.store.page("", limit=1)).items)
        if left:
            sentence = "CustomResource deletion is in progress"
            state = with_condition(
                current["status"], "Terminating", "True", "InstanceDeletionInProgress", sentence, now
            )
            if state != current["status"]:
                await definitions.store.replace({**current, "status": state}, current)
            self._again(name, _LOOK_AGAIN)
            return
        meta = current["metadata"]
        finalizers = [each for each in meta["finalizers"] if each != FINALIZER]
        try:
            if finalizers:
                had_objects = is_true(current, ESTABLISHED)
                reason = "InstanceDeletionCompleted" if had_objects else "NeverEstablished"
                sentence = "removed all instances" if had_objects else "resource was never established"
                state = with_condition(current["status"], TERMINATING, "False", reason, sentence, now)
                await definitions.store.replace(
                    {**current, "metadata": {**meta, "finalizers": finalizers}, "status": state}, current
                )
            else:
                await take_away(definitions, current, current)
        except status.ApiError as error:
            if status.is_conflict(error):
                self.changed(name)
            elif not status.is_not_found(error):
                raise
