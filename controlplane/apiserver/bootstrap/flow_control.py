"""The default FlowSchemas and PriorityLevelConfigurations in the store: made when missing, mended while they say they
may be (apiserver/pkg/util/flowcontrol, the bootstrap hook of the REST storage)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from apimachinery.api import defaults
from apimachinery.api.catalogue import FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS
from apimachinery.kit.clock import Clock
from apimachinery.kit.config import boolean
from apimachinery.meta import objects, status, times
from controlplane.apiserver.fairness.controller import Fairness
from controlplane.apiserver.fairness.defaults import AUTOUPDATE, MANDATORY, dangling, flow_schemas, priority_levels
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.store import ObjectStore

log = logging.getLogger(__name__)

Object = dict[str, Any]
_RETRY = 5.0  # seconds


async def ensure_flow_control(registry: Registry, clock: Clock) -> None:
    """Create what is missing, mend what may be mended, remove what passes for one of the defaults and is none. Raises
    ApiError when the store does not answer."""
    now = times.rfc3339(clock.now())
    levels, schemas = priority_levels(), flow_schemas()
    for schema in schemas:
        level_name = schema["spec"]["priorityLevelConfiguration"]["name"]
        schema["status"] = {"conditions": [dangling(level_name, True, now)]}
    for level in levels:
        level["status"] = {}
    for resource, wanted in ((PRIORITYLEVELCONFIGURATIONS, levels), (FLOWSCHEMAS, schemas)):
        store = registry.of(resource).store
        have = {objects.name(obj): obj for obj in await store.all()}
        for obj in wanted:
            defaults.apply(resource, obj)
        await asyncio.gather(*(_ensure(store, obj, have.pop(objects.name(obj), None), clock) for obj in wanted))
        await asyncio.gather(*(_remove(store, obj) for obj in have.values() if is_unwanted(obj)))


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


async def _remove(store: ObjectStore, obj: Object) -> None:
    try:
        await store.remove(obj)
    except status.ApiError as error:
        if not (status.is_not_found(error) or status.is_conflict(error)):
            raise


def is_unwanted(have: Object) -> bool:
    """Of an object that is none of the defaults: whether it says that it is looked after as one. Such are those of
    former versions."""
    try:
        return boolean(objects.annotations(have).get(AUTOUPDATE, ""))
    except ValueError:
        return False


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


async def keep_conditions(registry: Registry, fairness: Fairness, clock: Clock) -> None:
    """Tell of each FlowSchema whether its level exists, whenever one of either changed. Until cancelled."""
    store = registry.of(FLOWSCHEMAS).store
    while True:
        await fairness.changed.wait()
        fairness.changed.clear()
        try:
            for schema in await store.all():
                changed = plan_condition(schema, frozenset(fairness.levels), times.rfc3339(clock.now()))
                if changed is not None:
                    await store.replace(changed, schema)
        except status.ApiError as error:
            # Somebody was quicker, which comes back as a change; or the store is away.
            if not status.is_conflict(error) and not status.is_not_found(error):
                log.warning("conditions of FlowSchemas: %s", error)
                await clock.sleep(_RETRY)
            fairness.changed.set()


def plan_condition(schema: Object, levels: Collection[str], now: str) -> Object | None:
    """The FlowSchema with a true word about its level, or None when it has it."""
    name = schema["spec"]["priorityLevelConfiguration"]["name"]
    held = (schema.get("status") or {}).get("conditions") or []
    wanted = dangling(name, name in levels, now)
    present: Object = next((each for each in held if each.get("type") == wanted["type"]), {})
    if all(present.get(field) == wanted[field] for field in ("status", "reason", "message")):
        return None
    others = [each for each in held if each is not present]
    return {**schema, "status": {**(schema.get("status") or {}), "conditions": [*others, wanted]}}
