"""APIServices that the server makes itself: one for each group version it serves, its own and those of CRDs.

Upstream's autoregister controller: built-in ones are looked after at the start only, so that people may change them;
those of CRDs always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import APISERVICES, CATALOGUE, Catalogue
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import Clock
from apimachinery.meta import status, times
from controlplane.apiserver.aggregation.apiservices import ApiServices, object_name
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]

MANAGED = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"
_CRD_PRIORITIES = (1000, 100)

PRIORITIES: dict[str, tuple[int, dict[str, int]]] = {
    "": (18000, {"v1": 1}),
    "apps": (17800, {"v1": 15}),
    "events.k8s.io": (17750, {"v1": 15}),
    "authentication.k8s.io": (17700, {"v1": 15}),
    "authorization.k8s.io": (17600, {"v1": 15}),
    "autoscaling": (17500, {"v1": 15, "v2": 30}),
    "batch": (17400, {"v1": 15}),
    "certificates.k8s.io": (17300, {"v1": 15}),
    "networking.k8s.io": (17200, {"v1": 15}),
    "policy": (17100, {"v1": 15}),
    "rbac.authorization.k8s.io": (17000, {"v1": 15}),
    "storage.k8s.io": (16800, {"v1": 15}),
    "apiextensions.k8s.io": (16700, {"v1": 15}),
    "admissionregistration.k8s.io": (16700, {"v1": 15}),
    "scheduling.k8s.io": (16600, {"v1": 15}),
    "coordination.k8s.io": (16500, {"v1": 15}),
    "node.k8s.io": (16300, {"v1": 15}),
    "discovery.k8s.io": (16200, {"v1": 15}),
    "flowcontrol.apiserver.k8s.io": (16100, {"v1": 21}),
}
"""Group → (groupPriorityMinimum, version → versionPriority), upstream's for 1.32."""

LOCAL = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}
"""The condition of an APIService without a Service, without its lastTransitionTime."""


def built_in(catalogue: Catalogue = CATALOGUE) -> dict[str, Object]:
    """Name → APIService of every group version in `catalogue`. apiregistration.k8s.io has none, as upstream."""
    found = {}
    for group, versions in catalogue.versions().items():
        minimum, priorities = PRIORITIES.get(group, (0, {}))
        for version in versions:
            if version in priorities:
                name = object_name(group, version)
                found[name] = render(group, version, minimum, priorities[version], ON_START)
    return found


def of_definition(definition: Mapping[str, Any]) -> dict[str, Object]:
    """Name → APIService of every version that a CustomResourceDefinition serves."""
    spec = definition.get("spec") or {}
    group, minimum, priority = spec.get("group") or "", *_CRD_PRIORITIES
    versions = [each["name"] for each in spec.get("versions") or [] if each.get("served")]
    return {object_name(group, each): render(group, each, minimum, priority, ALWAYS) for each in versions}


def render(group: str, version: str, minimum: int, priority: int, managed: str) -> Object:
    """A local APIService."""
    spec = {"group": group, "groupPriorityMinimum": minimum, "version": version, "versionPriority": priority}
    return {
        "apiVersion": APISERVICES.api_version,
        "kind": APISERVICES.kind,
        "metadata": {"name": object_name(group, version), "labels": {MANAGED: managed}},
        "spec": spec if group else {key: value for key, value in spec.items() if key != "group"},
    }


class Registration:
    """`ensure_built_in` once; then `put` and `drop` of CRDs feed the loop that `run` works."""

    def __init__(self, store: ObjectStore, index: ApiServices, clock: Clock, own: Catalogue = CATALOGUE) -> None:
        self._store, self._index, self._clock, self._own = store, index, clock, own
        self._definitions: dict[str, dict[str, Object]] = {}
        self._queue = WorkQueue(clock, cap=30.0)

    async def ensure_built_in(self) -> None:
        """Make, repair and remove the built-in ones. Raises ApiError when the store does not answer."""
        wanted = built_in(self._own)
        have = {obj["metadata"]["name"]: obj for obj in await self._store.all()}
        gone = [name for name, obj in have.items() if _managed(obj) == ON_START and name not in wanted]
        await asyncio.gather(
            *(self._apply(wanted.get(name), have.get(name), ON_START) for name in (*wanted, *gone)),
        )

    def put(self, definition: Object) -> None:
        name = definition["metadata"]["name"]
        wanted = of_definition(definition)
        self._renew({*self._definitions.get(name, ()), *wanted})
        self._definitions[name] = wanted

    def drop(self, definition: Object) -> None:
        self._renew(self._definitions.pop(definition["metadata"]["name"], {}))

    def _renew(self, names: Any) -> None:
        for name in names:
            self._queue.add(name)

    async def run(self, synced: asyncio.Event) -> None:
        """Keep the APIServices of CRDs, until cancelled. synced: set when every CRD has been put once."""
        await synced.wait()
        self._index.listen(self._queue.add)
        await Controller("autoregister", self._reconcile, self._queue).run()

    async def _reconcile(self, name: str) -> None:
        wanted = next((found[name] for found in self._definitions.values() if name in found), None)
        have = await self._store.find("", name)
        if wanted is not None or (have is not None and _managed(have) == ALWAYS):
            await self._apply(wanted, have, ALWAYS)

    async def _apply(self, wanted: Object | None, have: Object | None, kind: str) -> None:
        try:
            if have is None and wanted is not None:
                now = self._clock.now()
                local = {**LOCAL, "lastTransitionTime": times.rfc3339(now)}
                obj = {**wanted, "metadata": dict(wanted["metadata"]), "status": {"conditions": [local]}}
                metadata.fill_created(self._store.resource, obj, now)
                self._index.put(await self._store.create(obj))
            elif have is None or _managed(have) != kind:
                return  # a human's, or nobody's
            elif wanted is None:
                self._index.drop(await self._store.remove(have))
            elif have["spec"] != wanted["spec"]:
                self._index.put(await self._store.replace({**have, "spec": wanted["spec"]}, have))
        except status.ApiError as error:
            # Another API server of the cluster does the same at the same time.
            if not (status.is_already_exists(error) or status.is_conflict(error) or status.is_not_found(error)):
                raise


def _managed(obj: Mapping[str, Any]) -> str:
    return str((obj["metadata"].get("labels") or {}).get(MANAGED) or "")
