"""EndpointSlice mirroring: slices for the Endpoints that somebody wrote for a Service without a selector
(pkg/controller/endpointslicemirroring, KEP-752). Who reads slices only, as kube-proxy does, so sees them too.
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import ENDPOINTS, ENDPOINTSLICES, SERVICES
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.expectations import Expectations
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.endpoints_of_pods import service_selector, slice_keys
from controlplane.controllers.endpointslice_mirroring_plan import MANAGER, is_mirrored, plan_mirrors
from controlplane.controllers.endpointslice_plan import SlicePlan
from controlplane.controllers.pod_control import is_namespace_terminating

Object = dict[str, Any]

NAME = "endpointslicemirroring-controller"
_INDEX = "mirrors-of"


class EndpointSliceMirroring:
    """Reconciles the slices of Endpoints, by namespace and name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        endpoints, slices = context.informer(ENDPOINTS), context.informer(ENDPOINTSLICES)
        services = context.informer(SERVICES)
        slices.lister.add_index(_INDEX, _keys)
        self._endpoints, self._slices, self._services = endpoints.lister, slices.lister, services.lister
        self._recorder = context.recorder("endpoint-slice-mirroring-controller")
        self._expected = Expectations(context.clock)
        self._queue = WorkQueue(context.clock, base=1.0)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        for informer in (endpoints, services):
            informer.add_handler(self._changed, lambda old, new: self._changed(new), self._changed)
        slices.add_handler(self._slice_added, lambda old, new: self._slice_changed(new), self._slice_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Bring the slices of one Endpoints up to date."""
        endpoints, service = self._endpoints.get_by_key(key), self._services.get_by_key(key)
        if not self._expected.satisfied(key):
            return None  # the addition that is awaited brings us back
        mirrored = (
            endpoints is not None and service is not None and is_mirrored(endpoints)
            and service_selector(service) is None
        )  # fmt: skip
        if not mirrored:
            self._expected.forget(key)
        existing = [each for each in self._slices.by_index(_INDEX, key) if not objects.is_deleting(each)]
        plan = plan_mirrors(endpoints if mirrored else None, existing)
        for kind, reason, message in plan.events:
            self._recorder.event(endpoints or {}, kind, reason, message)
        await self._apply(key, plan)
        return None

    async def _apply(self, key: str, plan: SlicePlan) -> None:
        if plan.create:
            self._expected.expect_creations(key, len(plan.create))
        for number, wanted in enumerate(plan.create):
            try:
                await self._client.create(ENDPOINTSLICES, wanted)
            except (ApiError, ApiUnreachable) as error:
                for _ in plan.create[number:]:
                    self._expected.creation_observed(key)
                if isinstance(error, ApiError) and is_namespace_terminating(error):
                    return
                raise
        for wanted in plan.update:
            await self._client.update(ENDPOINTSLICES, wanted)
        for obsolete in plan.delete:
            try:
                space = objects.namespace(obsolete)
                await self._client.delete(ENDPOINTSLICES, objects.name(obsolete), space, uid=objects.uid(obsolete))
            except ApiError as error:
                if not is_not_found(error):
                    raise

    def _changed(self, obj: Object) -> None:
        self._queue.add(objects.key(obj))

    def _slice_added(self, added: Object) -> None:
        for key in _keys(added):
            self._expected.creation_observed(key)
            self._queue.add(key)

    def _slice_changed(self, changed: Object) -> None:
        for key in _keys(changed):
            self._queue.add(key)


def _keys(each: Object) -> list[str]:
    return slice_keys(each, MANAGER)
