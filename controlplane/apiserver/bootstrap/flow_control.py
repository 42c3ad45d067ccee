"""The default FlowSchemas and PriorityLevelConfigurations in the store: made when missing, mended while they say they
may be (apiserver/pkg/util/flowcontrol, the bootstrap hook of the REST storage)."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery.api import defaults
from apimachinery.api.catalogue import FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects, status, times
from controlplane.apiserver.fairness.defaults import AUTOUPDATE, MANDATORY, flow_schemas, found, priority_levels
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]


async def ensure_flow_control(registry: Registry, clock: Clock) -> None:
    """Create what is missing, mend what may be mended. Raises ApiError when the store does not answer."""
    now = times.rfc3339(clock.now())
    levels, schemas = priority_levels(), flow_schemas()
    for schema in schemas:
        schema["status"] = found(schema["spec"]["priorityLevelConfiguration"]["name"], now)
    for level in levels:
        level["status"] = {}
    for resource, wanted in ((PRIORITYLEVELCONFIGURATIONS, levels), (FLOWSCHEMAS, schemas)):
        store = registry.of(resource).store
        have = {objects.name(obj): obj for obj in await store.all()}
        for obj in wanted:
            defaults.apply(resource, obj)
        await asyncio.gather(*(_ensure(store, obj, have.get(objects.name(obj)), clock) for obj in wanted))


async def _ensure(store: ObjectStore, want: Object, have: Object | None, clock: Clock) -> None:
    try:
        if have is None:
            metadata.fill_created(store.resource, want, clock.now())
            want["metadata"]["generation"] = 1
            await store.create(want)
        elif (changed := plan_update(want, have)) is not None:
            await store.replace(changed, have)
    except status.ApiError as error:
        # Another API server of the cluster does the same at the same time.
        if not (status.is_already_exists(error) or status.is_conflict(error)):
            raise


def plan_update(want: Object, have: Object) -> Object | None:
    """The stored object with the specification it should have; None when it has it, or belongs to somebody else now.

    Mandatory ones always, the suggested ones only while their annotation says so; `exempt` keeps its shares."""
    meta = have["metadata"]
    automatic = objects.annotations(have).get(AUTOUPDATE)
    if automatic is None:
        automatic = "true" if meta.get("generation") == 1 else "false"
    if meta["name"] not in MANDATORY and automatic != "true":
        return None
    spec = want["spec"]
    if want["spec"].get("type") == "Exempt" and have["spec"].get("exempt"):
        spec = {**spec, "exempt": have["spec"]["exempt"]}
    annotations = {**objects.annotations(have), AUTOUPDATE: automatic if meta["name"] not in MANDATORY else "true"}
    if spec == have["spec"] and annotations == objects.annotations(have):
        return None
    generation = meta.get("generation") or 1
    changed = {**meta, "annotations": annotations, "generation": generation + (spec != have["spec"])}
    return {**have, "metadata": changed, "spec": spec}
