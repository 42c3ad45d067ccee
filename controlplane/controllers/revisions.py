"""ControllerRevisions: the remembered templates of DaemonSets and StatefulSets (pkg/controller/history)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apimachinery.api.catalogue import CONTROLLERREVISIONS, Resource
from apimachinery.client.rest import Client
from apimachinery.controller.owners import is_controlled_by, owner_reference
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found
from controlplane.controllers.template_hash import compute_hash, meaningful

Object = dict[str, Any]

HASH_LABEL = "controller-revision-hash"


def revision_data(owner: Object) -> Object:
    """Return what a revision remembers: a strategic merge patch that brings the template back (`rollout undo`)."""
    return {"spec": {"template": {**(owner["spec"].get("template") or {}), "$patch": "replace"}}}


def render_revision(owner: Object, resource: Resource, number: int) -> Object:
    """Return the revision of the owner's present template."""
    data = revision_data(owner)
    value = compute_hash(data, (owner.get("status") or {}).get("collisionCount"))
    labels = (owner["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{objects.name(owner)}-{value}",
            "namespace": objects.namespace(owner),
            "labels": {**labels, HASH_LABEL: value},
            "annotations": {
                k: v
                for k, v in objects.annotations(owner).items()
                if k != "kubectl.kubernetes.io/last-applied-configuration"
            },
            "ownerReferences": [owner_reference(owner, resource)],
        },
        "data": data,
        "revision": number,
    }


def find_equal(owner: Object, revisions: Iterable[Object]) -> list[Object]:
    """Return the revisions that remember the owner's present template, oldest first."""
    data = meaningful(revision_data(owner))
    return sorted((r for r in revisions if meaningful(r.get("data")) == data), key=lambda r: int(r["revision"]))


def plan_history(revisions: Sequence[Object], live: Iterable[str], limit: int) -> list[Object]:
    """Return the revisions beyond `limit` that nobody uses, oldest first. live: names in use."""
    in_use = set(live)
    idle = sorted((r for r in revisions if objects.name(r) not in in_use), key=lambda r: int(r["revision"]))
    return idle[: max(0, len(idle) - limit)]


async def ensure_revision(client: Client, owner: Object, resource: Resource, revisions: Sequence[Object]) -> Object:
    """Return the revision of the owner's present template, creating it or making it the newest again.

    Raises ApiError Conflict when its name is taken by another template: the owner's collisionCount must be raised.
    """
    newest = max((int(r["revision"]) for r in revisions), default=0)
    equal = find_equal(owner, revisions)
    if equal:
        if int(equal[-1]["revision"]) == newest:
            return equal[-1]
        return await client.update(CONTROLLERREVISIONS, {**equal[-1], "revision": newest + 1})
    wanted = render_revision(owner, resource, newest + 1)
    try:
        return await client.create(CONTROLLERREVISIONS, wanted)
    except ApiError as error:
        if not is_already_exists(error):
            raise
    existing = await client.get(CONTROLLERREVISIONS, objects.name(wanted), objects.namespace(owner))
    if is_controlled_by(existing, owner) and find_equal(owner, [existing]):
        return existing
    raise ApiError(409, "Conflict", f"controller revision name {objects.name(wanted)!r} is taken, hashing anew")


async def delete_revisions(client: Client, obsolete: Iterable[Object]) -> None:
    """Delete revisions; those that are gone already are no failure."""
    for each in obsolete:
        try:
            await client.delete(CONTROLLERREVISIONS, objects.name(each), objects.namespace(each), uid=objects.uid(each))
        except ApiError as error:
            if not is_not_found(error):
                raise
