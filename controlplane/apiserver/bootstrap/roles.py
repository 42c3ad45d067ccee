"""Reconciling the default RBAC policy: what is missing is added, what people added is kept."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery.api.catalogue import CLUSTERROLEBINDINGS, CLUSTERROLES
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.authz.policy import cluster_role_bindings, cluster_roles
from controlplane.apiserver.authz.rules import uncovered
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


async def reconcile_policy(registry: Registry, clock: Clock) -> None:
    """Bring the stored policy up to the default one. Raises ApiError when the store does not answer."""
    roles, bindings = registry.of(CLUSTERROLES).store, registry.of(CLUSTERROLEBINDINGS).store
    have_roles = {obj["metadata"]["name"]: obj for obj in await roles.all()}
    have_bindings = {obj["metadata"]["name"]: obj for obj in await bindings.all()}
    await asyncio.gather(
        *(_ensure(roles, want, have_roles.get(want["metadata"]["name"]), clock) for want in cluster_roles()),
        *(
            _ensure(bindings, want, have_bindings.get(want["metadata"]["name"]), clock)
            for want in cluster_role_bindings()
        ),
    )


async def _ensure(store: ObjectStore, want: Object, have: Object | None, clock: Clock) -> None:
    try:
        if have is not None and have.get("roleRef") != want.get("roleRef"):
            # A binding's role cannot be changed, so a foreign one under this name is replaced, as upstream does.
            if (have["metadata"].get("annotations") or {}).get(AUTOUPDATE) != "true":
                return
            await store.remove(have)
            have = None
        if have is None:
            metadata.fill_created(store.resource, want, clock.now())
            await store.create(want)
            return
        changed = plan_update(want, have)
        if changed is not None:
            await store.replace(changed, have)
    except status.ApiError as error:
        # Another API server of the cluster does the same at the same time.
        if not (status.is_already_exists(error) or status.is_conflict(error)):
            raise


def plan_update(want: Object, have: Object) -> Object | None:
    """The stored object with what it lacks, or None when it lacks nothing or asks to be left alone."""
    meta = have["metadata"]
    if (meta.get("annotations") or {}).get(AUTOUPDATE) == "false":
        return None
    labels = {**want["metadata"]["labels"], **(meta.get("labels") or {})}
    annotations = {**want["metadata"]["annotations"], **(meta.get("annotations") or {})}
    changed = {**have, "metadata": {**meta, "labels": labels, "annotations": annotations}}
    if "rules" in want and "aggregationRule" not in want:
        missing = uncovered(have.get("rules") or [], want["rules"])
        if missing:
            changed["rules"] = [*(have.get("rules") or []), *missing]
    if "aggregationRule" in want:
        changed["aggregationRule"] = have.get("aggregationRule") or want["aggregationRule"]
    if want.get("subjects"):
        held = have.get("subjects") or []
        changed["subjects"] = [*held, *(each for each in want["subjects"] if each not in held)]
    return None if changed == have else changed
