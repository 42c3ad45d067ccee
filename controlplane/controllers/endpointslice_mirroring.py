"""EndpointSlice mirroring: slices for the Endpoints that somebody wrote for a Service without a selector
(pkg/controller/endpointslicemirroring, KEP-752). Who reads slices only, as kube-proxy does, so sees them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from apimachinery.api.catalogue import ENDPOINTS, ENDPOINTSLICES, SERVICES
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.expectations import Expectations
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import owner_reference
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.endpoints_of_pods import HEADLESS, MANAGED_BY, SERVICE_NAME, slice_keys
from controlplane.controllers.endpointslice_plan import SlicePlan
from controlplane.controllers.pod_control import is_namespace_terminating

Object = dict[str, Any]
Key = tuple[str, tuple[tuple[str, str, int, str], ...]]  # the family of the addresses, and the ports

NAME = "endpointslicemirroring-controller"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = ("endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration")
_INDEX = "mirrors-of"
# Of one subset and family; upstream's --mirroring-max-endpoints-per-subset.
MAX_ENDPOINTS = 1000


def is_mirrored(endpoints: Object) -> bool:
    """Tell whether the Endpoints ask for slices: not those of leader elections, and of whom makes slices itself."""
    return objects.labels(endpoints).get(SKIP) != "true" and _LEADER not in objects.annotations(endpoints)


def plan_mirrors(endpoints: Object | None, existing: Sequence[Object]) -> SlicePlan:
    """Compare what the Endpoints say with our slices of them. endpoints: None for those that are not mirrored."""
    plan, left = SlicePlan(), list(existing)
    for key, ends in (_wanted(endpoints) if endpoints is not None else {}).items():
        assert endpoints is not None
        wanted = _render(endpoints, key, ends)
        found = next((each for each in left if _key(each) == key), None)
        if found is None:
            plan.create.append(wanted)
            continue
        left.remove(found)
        if _facts(found) != _facts(wanted):
            metadata = {**found["metadata"], **{kind: wanted["metadata"][kind] for kind in ("labels", "annotations")}}
            plan.update.append({**found, "metadata": metadata, "endpoints": ends})
    plan.delete.extend(left)
    return plan


def _wanted(endpoints: Object) -> dict[Key, list[Object]]:
    found: dict[Key, list[Object]] = {}
    for subset in endpoints.get("subsets") or ():
        counts: dict[str, int] = {}
        for address, ready in _addresses(subset):
            family = "IPv6" if ":" in address["ip"] else "IPv4"
            counts[family] = counts.get(family, 0) + 1
            if counts[family] <= MAX_ENDPOINTS:
                end = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
                end |= {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
                found.setdefault((family, _ports(subset)), []).append(end)
    return found


def _addresses(subset: Object) -> Iterator[tuple[Object, bool]]:
    yield from ((address, True) for address in subset.get("addresses") or ())
    yield from ((address, False) for address in subset.get("notReadyAddresses") or ())


def _ports(holder: Object) -> tuple[tuple[str, str, int, str], ...]:
    ports = (
        (each.get("name") or "", each.get("protocol") or "TCP", each.get("port") or 0, each.get("appProtocol") or "")
        for each in holder.get("ports") or ()
    )
    return tuple(sorted(ports))


def _key(each: Object) -> Key:
    return each["addressType"], _ports(each)


def _render(endpoints: Object, key: Key, ends: list[Object]) -> Object:
    family, ports = key
    name = objects.name(endpoints)
    kept = {label: value for label, value in objects.labels(endpoints).items() if label != HEADLESS}
    notes = {key: value for key, value in objects.annotations(endpoints).items() if key not in _NOT_COPIED}
    metadata = {
        "generateName": f"{name}-",
        "namespace": objects.namespace(endpoints),
        "labels": {**kept, SERVICE_NAME: name, MANAGED_BY: MANAGER},
        "annotations": notes,
        "ownerReferences": [owner_reference(endpoints, ENDPOINTS)],
    }
    rendered = [
        {"name": name, "protocol": protocol, "port": port, **({"appProtocol": application} if application else {})}
        for name, protocol, port, application in ports
    ]
    return {"metadata": metadata, "addressType": family, "endpoints": ends, "ports": rendered}


def _facts(each: Object) -> tuple[Any, ...]:
    """What of a slice follows from the Endpoints."""
    ends = [
        (
            end["addresses"],
            end["conditions"].get("ready"),
            *(end.get(key) for key in ("hostname", "nodeName", "targetRef")),
        )
        for end in each.get("endpoints") or ()
    ]
    return objects.labels(each), objects.annotations(each), ends


class EndpointSliceMirroring:
    """Reconciles the slices of Endpoints, by namespace and name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        endpoints, slices = context.informer(ENDPOINTS), context.informer(ENDPOINTSLICES)
        services = context.informer(SERVICES)
        slices.lister.add_index(_INDEX, _keys)
        self._endpoints, self._slices, self._services = endpoints.lister, slices.lister, services.lister
        self._expected = Expectations(context.clock)
        self._queue = WorkQueue(context.clock, base=1.0)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=5)
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
            and service["spec"].get("selector") is None
        )  # fmt: skip
        if not mirrored:
            self._expected.forget(key)
        existing = [each for each in self._slices.by_index(_INDEX, key) if not objects.is_deleting(each)]
        await self._apply(key, plan_mirrors(endpoints if mirrored else None, existing))
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
