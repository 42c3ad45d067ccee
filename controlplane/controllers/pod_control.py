"""Creating and deleting the pods of a workload, with its events (kubernetes pkg/controller/controller_utils.go)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from apimachinery.api.catalogue import PODS, Resource
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.controller.events import EventRecorder
from apimachinery.controller.owners import is_controlled_by, owner_reference
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_forbidden, is_not_found

Object = dict[str, Any]

BURST = 500  # pods created or deleted in one reconciliation
DOUBT_PERIOD = 0.2  # seconds until an owner is looked at again whose pods are not known for certain


def render_pod(template: Object, owner: Object, owner_resource: Resource) -> Object:
    """Return the pod that `template` describes, owned by `owner`, its name left to the server."""
    metadata = template.get("metadata") or {}
    prefix = f"{objects.name(owner)}-"
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": prefix,
            "namespace": objects.namespace(owner),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(owner, owner_resource)],
        },
        "spec": deepcopy(template.get("spec") or {}),
    }
    if metadata.get("finalizers"):
        pod["metadata"]["finalizers"] = list(metadata["finalizers"])
    return pod


class PodControl:
    """Creates and deletes pods on behalf of one kind of owner, and says so in events on the owner."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client, self._recorder = client, recorder
        # Owners (uids) with a creation or deletion of which nobody knows whether it happened.
        self._doubts: set[str] = set()

    async def certain(self, owner: Object, owned: Iterable[Object]) -> bool:
        """Tell whether `owned`, from the lister, may be counted: False while it lacks what an unanswered call did.

        Nothing is waited for after such a call, as it may never come; what it did is asked of the API server instead,
        at the price of a list. Upstream counts at once, and may make one pod too many. Raises ApiError, ApiUnreachable.
        """
        uid = objects.uid(owner)
        if uid not in self._doubts:
            return True
        live = (await self._client.list(PODS, objects.namespace(owner)))["items"]
        wanted = {objects.uid(pod): objects.is_deleting(pod) for pod in live if is_controlled_by(pod, owner)}
        if wanted != {objects.uid(pod): objects.is_deleting(pod) for pod in owned}:
            return False
        self._doubts.discard(uid)
        return True

    async def create(self, owner: Object, pod: Object) -> Object:
        """Create. Raises ApiError, after an event, except when the namespace is going (nobody needs to be told)."""
        try:
            created = await self._client.create(PODS, pod, objects.namespace(owner))
        except ApiUnreachable:
            self._doubts.add(objects.uid(owner))
            raise
        except ApiError as error:
            if error.code >= 500:
                self._doubts.add(objects.uid(owner))
            if not is_namespace_terminating(error):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {objects.name(created)}")
        return created

    async def delete(self, owner: Object, pod: Object) -> bool:
        """Delete. Returns False when it was gone already. Raises ApiError, after an event."""
        try:
            await self._client.delete(PODS, objects.name(pod), objects.namespace(pod), uid=objects.uid(pod))
        except ApiUnreachable:
            self._doubts.add(objects.uid(owner))
            raise
        except ApiError as error:
            if is_not_found(error):
                return False
            if error.code >= 500:
                self._doubts.add(objects.uid(owner))
            self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {objects.name(pod)}")
        return True


def is_namespace_terminating(error: ApiError) -> bool:
    """Tell whether a creation was refused because the namespace is being deleted."""
    causes = (error.details or {}).get("causes") or ()
    return is_forbidden(error) and (
        any(c.get("reason") == "NamespaceTerminating" for c in causes) or "is being terminated" in error.message
    )


async def slow_start(count: int, create: Callable[[], Awaitable[object]]) -> tuple[int, Exception | None]:
    """Call `create` `count` times in batches of 1, 2, 4, … and stop after a batch with a failure.

    If every call fails (quota, admission), that takes one call to learn instead of hundreds.
    Returns the successes and the first failure.
    """
    done, batch = 0, 1
    while done < count:
        size = min(batch, count - done)
        results = await asyncio.gather(*(create() for _ in range(size)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        done += size - len(failures)
        for failure in failures:
            if not isinstance(failure, Exception):
                raise failure
        if failures:
            return done, next(f for f in failures if isinstance(f, Exception))
        batch *= 2
    return done, None


async def all_of(calls: Sequence[Awaitable[object]]) -> Exception | None:
    """Run all at once; return the first failure after all have ended."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return next((result for result in results if isinstance(result, Exception)), None)
