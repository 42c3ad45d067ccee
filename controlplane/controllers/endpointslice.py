"""EndpointSlice: for every Service with a selector, slices that list its pods (pkg/controller/endpointslice)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.api.catalogue import ENDPOINTSLICES, NODES, PODS, SERVICES
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.expectations import Expectations
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods
from apimachinery.meta.endpoints import SERVICE_NAME
from apimachinery.meta.paths import aggregate
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.endpoint_hints import facts, is_counted, is_proportional
from controlplane.controllers.endpoints_of_pods import service_selector, slice_keys
from controlplane.controllers.endpointslice_packing import MANAGER
from controlplane.controllers.endpointslice_plan import SlicePlan, plan_slices
from controlplane.controllers.pod_control import is_namespace_terminating
from controlplane.controllers.service_watch import ServiceWatch
from controlplane.controllers.trigger_times import TriggerTimes, with_last_change

Object = dict[str, Any]

NAME = "endpointslice-controller"
_UNPLACED = 10.0
"""Seconds until it is looked again whether pods without a Node have one, or are gone."""


class EndpointSliceController:
    """Reconciles the slices of Services."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._most = context.client, context.config.max_endpoints_per_slice
        slices, nodes = context.informer(ENDPOINTSLICES), context.informer(NODES)
        slices.lister.add_index(SERVICE_NAME, _service_keys)
        self._services, self._pods = context.informer(SERVICES).lister, context.informer(PODS).lister
        self._slices, self._nodes = slices.lister, nodes.lister
        self._recorder = context.recorder("endpoint-slice-controller")
        self._expected = Expectations(context.clock)
        self._written: dict[str, dict[str, int]] = {}  # by Service, uid of a slice: its generation after our last write
        # By Service: the families whose hints follow the zones' processors.
        self._proportional: dict[str, set[str]] = {}
        self._triggers = TriggerTimes()
        self._queue = WorkQueue(context.clock, base=1.0)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        ServiceWatch(context, self._queue.add)
        slices.add_handler(self._slice_added, lambda old, new: self._slice_changed(new), self._slice_changed)
        nodes.add_handler(self._zones_changed, self._node_updated, self._zones_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    def recall(self, other: EndpointSliceController) -> None:
        """Remember what `other` does."""
        self._triggers.recall(other._triggers)
        self._proportional = dict(other._proportional)

    async def reconcile(self, key: str) -> float | None:
        """Bring the slices of one Service up to date. Those of a deleted Service are the garbage collector's."""
        service = self._services.get_by_key(key)
        if service is None:
            self._expected.forget(key)
            self._written.pop(key, None)
            self._proportional.pop(key, None)
            self._triggers.forget(key)
            return None
        selector = service_selector(service)
        if selector is None or service["spec"].get("type") == "ExternalName":
            return None
        if not self._expected.satisfied(key):
            return None  # the addition that is awaited brings us back
        shown = self._slices.by_index(SERVICE_NAME, key)
        if is_stale(shown, self._written.get(key, {})):
            return None  # so does the change that is awaited: until then our own write would be in conflict with us
        existing = [each for each in shown if not objects.is_deleting(each)]
        selected = self._pods.list(objects.namespace(service), selector)
        nodes = {objects.name(node): node for node in self._nodes.list()}
        plan = plan_slices(service, selected, existing, nodes, self._proportional.get(key, ()), self._most)
        look = self._triggers.look(service, selected)
        for wanted in (*plan.create, *plan.update):
            wanted["metadata"] = with_last_change(wanted["metadata"], look.since)
        await self._apply(key, service, plan)
        self._triggers.keep(key, look)
        self._proportional[key] = plan.proportional
        for kind, reason, message in plan.events:
            self._recorder.event(service, kind, reason, message)
        if not plan.unplaced:
            return None
        skipped = (
            f"skipping Pod {objects.name(pod)} for Service {key}: Node {pods.node_name(pod)} Not Found"
            for pod in sorted(plan.unplaced, key=objects.name)
        )
        self._complain(service, *skipped)
        return _UNPLACED

    async def _apply(self, key: str, service: Object, plan: SlicePlan) -> None:
        if plan.create:
            self._expected.expect_creations(key, len(plan.create))

        async def create(wanted: Object) -> None:
            try:
                await self._client.create(ENDPOINTSLICES, wanted)
            except (ApiError, ApiUnreachable) as error:
                self._expected.creation_observed(key)
                if isinstance(error, ApiError) and is_namespace_terminating(error):
                    return
                raise

        async def update(wanted: Object) -> None:
            written = await self._client.update(ENDPOINTSLICES, wanted)
            self._written.setdefault(key, {})[objects.uid(written)] = written["metadata"].get("generation", 0)

        async def delete(obsolete: Object) -> None:
            self._written.get(key, {}).pop(objects.uid(obsolete), None)
            try:
                await self._client.delete(
                    ENDPOINTSLICES, objects.name(obsolete), objects.namespace(obsolete), uid=objects.uid(obsolete)
                )
            except ApiError as error:
                if not is_not_found(error):
                    raise

        # One step after the other: what is deleted first would be missing until the rest is there.
        for step, slices in ((create, plan.create), (update, plan.update), (delete, plan.delete)):
            results = await asyncio.gather(*(step(each) for each in slices), return_exceptions=True)
            for each, failure in zip(slices, results, strict=True):
                if isinstance(failure, Exception):
                    what = f"failed to {step.__name__} {objects.name(each)}".rstrip()
                    self._complain(service, f"{what} EndpointSlice for Service {key}: {failure}")
                    raise failure

    def _complain(self, service: Object, *problems: str) -> None:
        message = f"Error updating Endpoint Slices for Service {objects.key(service)}: {aggregate(problems)}"
        self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", message)

    def _node_updated(self, old: Object, new: Object) -> None:
        if is_counted(old) != is_counted(new) or facts(old) != facts(new):
            self._zones_changed(new)

    def _zones_changed(self, _: Object) -> None:
        """The processors of a zone are others: hints in proportion to them may be."""
        for service in self._services.list():
            if is_proportional(service):
                self._queue.add(objects.key(service))

    def _slice_added(self, added: Object) -> None:
        for key in _service_keys(added):
            self._expected.creation_observed(key)
            self._queue.add(key)

    def _slice_changed(self, changed: Object) -> None:
        """Someone, we or another, changed a slice of ours: look whether it is still right."""
        for key in _service_keys(changed):
            self._queue.add(key)


def is_stale(shown: Iterable[Object], written: Mapping[str, int]) -> bool:
    """Whether a slice in the cache is older than what we wrote last: `written` has generations by uid."""
    return any(each["metadata"].get("generation", 0) < written.get(objects.uid(each), 0) for each in shown)


def _service_keys(each: Object) -> list[str]:
    return slice_keys(each, MANAGER)
