"""Reconciling the default RBAC policy: what is missing is added, what people added is kept."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery.api.catalogue import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects, status
from controlplane.apiserver.authz.policy import cluster_role_bindings, cluster_roles
from controlplane.apiserver.authz.policy_namespaces import namespace_role_bindings, namespace_roles
from controlplane.apiserver.authz.rules import uncovered
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


async def reconcile_policy(registry: Registry, clock: Clock) -> None:
    """Bring the stored policy up to the default one. Raises ApiError when the store does not answer."""
    defaults = (
        (CLUSTERROLES, cluster_roles()),
        (CLUSTERROLEBINDINGS, cluster_role_bindings()),
        (ROLES, namespace_roles()),
        (ROLEBINDINGS, namespace_role_bindings()),
    )
    await asyncio.gather(*(_reconcile(registry.of(resource).store, wanted, clock) for resource, wanted in defaults))


async def _reconcile(store: ObjectStore, wanted: list[Object], clock: Clock) -> None:
    have = {objects.key(obj): obj for obj in await store.all()}
    await asyncio.gather(*(_ensure(store, want, have.get(objects.key(want)), clock) for want in wanted))


async def _ensure(store: ObjectStore, want: Object, have: Object | None, clock: Clock) -> None:
    try:
        if have is not None and have.get("roleRef") != want.get("roleRef"):
            # A binding's role cannot be changed, so a foreign one under this name is replaced, as upstream does.
            if _is_protected(have):
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
    if _is_protected(have):
        return None
    labels = {**want["metadata"]["labels"], **(meta.get("labels") or {})}
    annotations = {**want["metadata"]["annotations"], **(meta.get("annotations") or {})}
    changed = {**have, "metadata": {**meta, "labels": labels, "annotations": annotations}}
    if "rules" in want and "aggregationRule" not in want:
        changed.pop("aggregationRule", None)  # whose controller would do away with what it ought to have
        missing = uncovered(have.get("rules") or [], want["rules"])
        if missing:
            changed["rules"] = [*(have.get("rules") or []), *missing]
    if "aggregationRule" in want:
        # The rules of an aggregated role are its controller's business.
        held = (have.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        lacking = [each for each in want["aggregationRule"]["clusterRoleSelectors"] if each not in held]
        changed["aggregationRule"] = {"clusterRoleSelectors": [*held, *lacking]}
    if want.get("subjects"):
        held = have.get("subjects") or []
        changed["subjects"] = [*held, *(each for each in want["subjects"] if each not in held)]
    return None if changed == have else changed


def _is_protected(obj: Object) -> bool:
    return (obj["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false"
