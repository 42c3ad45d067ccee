"""Endpoints: the older single object per Service, for those who still read it (pkg/controller/endpoint)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import ENDPOINTS, PODS, SERVICES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_already_exists, is_conflict, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.endpoints_of_pods import LEADER, service_selector
from controlplane.controllers.endpoints_plan import plan_endpoints
from controlplane.controllers.pod_control import is_namespace_terminating
from controlplane.controllers.service_watch import ServiceWatch
from controlplane.controllers.trigger_times import TriggerTimes

Object = dict[str, Any]

NAME = "endpoint-controller"


class EndpointsController:
    """Reconciles the Endpoints of Services."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._services, self._pods = context.informer(SERVICES).lister, context.informer(PODS).lister
        endpoints = context.informer(ENDPOINTS)
        self._endpoints = endpoints.lister
        self._recorder = context.recorder(NAME)
        self._triggers = TriggerTimes()
        # By Service: the version that our last write replaced, and whether somebody waits until the cache no longer
        # shows it.
        self._replaced: dict[str, str] = {}
        self._awaited: set[str] = set()
        self._queue = WorkQueue(context.clock, base=1.0)
        self.loop = Controller(
            NAME, self.reconcile, self._queue, workers=context.config.workers["endpoints-controller"]
        )
        ServiceWatch(context, self._queue.add)
        endpoints.add_handler(on_update=self._shown, on_delete=lambda gone: self._queue.add(objects.key(gone)))

    async def run(self) -> None:
        """Work until cancelled. Endpoints whose Service went while nobody looked go at the start."""
        for each in self._endpoints.list():
            if _is_ours(each):
                self._queue.add(objects.key(each))
        await self.loop.run()

    def recall(self, other: EndpointsController) -> None:
        """Remember what `other` does."""
        self._triggers.recall(other._triggers)
        self._replaced = dict(other._replaced)

    async def reconcile(self, key: str) -> float | None:
        """Bring the Endpoints of one Service up to date; they go with the Service."""
        service, current = self._services.get_by_key(key), self._endpoints.get_by_key(key)
        if service is None:
            self._triggers.forget(key)
            self._replaced.pop(key, None)
            # Written at once, the two are told of by two watches, and this one may be the later.
            if current is not None and _is_ours(current) and not await self._has_service(current):
                await self._delete(current)
            return None
        selector = service_selector(service)
        if selector is None or service["spec"].get("type") == "ExternalName":
            return None
        if current is not None and objects.resource_version(current) == self._replaced.get(key):
            self._awaited.add(key)
            return None  # the change that is awaited brings us back: our own write would be in conflict with us
        selected = self._pods.list(objects.namespace(service), selector)
        look = self._triggers.look(service, selected)
        wanted = plan_endpoints(service, current, selected, look.since)
        if wanted is not None:
            await self._write(key, current, wanted)
        self._triggers.keep(key, look)
        return None

    async def _write(self, key: str, current: Object | None, wanted: Object) -> None:
        try:
            if current is None:
                await self._client.create(ENDPOINTS, wanted)
                return
            written = await self._client.update(ENDPOINTS, wanted)
        except ApiError as error:
            if current is None and is_namespace_terminating(error):
                return
            if not (is_conflict(error) or is_already_exists(error)):
                self._complain(key, wanted, "Create" if current is None else "Update", error)
            raise
        if objects.resource_version(written) != objects.resource_version(current):
            self._replaced[key] = objects.resource_version(current)

    def _complain(self, key: str, wanted: Object, what: str, error: ApiError) -> None:
        of = "endpoint for service" if what == "Create" else "endpoint"
        message = f"Failed to {what.lower()} {of} {key}: {error.message}"
        self._recorder.event(wanted, "Warning", f"FailedTo{what}Endpoint", message)

    def _shown(self, old: Object, new: Object) -> None:
        """The cache has caught up with our write, or with somebody's after it."""
        key = objects.key(new)
        if key in self._awaited:
            self._awaited.discard(key)
            self._queue.add(key)

    async def _has_service(self, current: Object) -> bool:
        try:
            await self._client.get(SERVICES, objects.name(current), objects.namespace(current))
        except ApiError as error:
            if not is_not_found(error):
                raise
            return False
        return True

    async def _delete(self, current: Object) -> None:
        try:
            await self._client.delete(
                ENDPOINTS, objects.name(current), objects.namespace(current), uid=objects.uid(current)
            )
        except ApiError as error:
            if not is_not_found(error):
                raise


def _is_ours(current: Object) -> bool:
    """A leader election record on an Endpoints object belongs to no Service."""
    return LEADER not in objects.annotations(current)
