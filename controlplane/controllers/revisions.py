"""ControllerRevisions: the remembered templates of DaemonSets and StatefulSets (pkg/controller/history)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from apimachinery.api.catalogue import CONTROLLERREVISIONS, STATEFULSETS, Resource
from apimachinery.cache.lister import Lister
from apimachinery.client.rest import Client
from apimachinery.controller.owners import controller_of, is_controlled_by, owner_reference
from apimachinery.kit.rand import safe_encode
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects
from apimachinery.meta.objects import copied
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found
from controlplane.controllers.claim import apply_claim, plan_claim
from controlplane.controllers.context import claimable
from controlplane.controllers.template_hash import compute_hash, meaningful

Object = dict[str, Any]

HASH_LABEL = "controller-revision-hash"
_OF_STATEFUL_SETS = "controller.kubernetes.io/hash"
_IN_HTML = {b"&": rb"\u0026", b"<": rb"\u003c", b">": rb"\u003e"}  # encoding/json writes them so


def revision_data(owner: Object) -> Object:
    """Return what a revision remembers: a strategic merge patch that brings the template back (`rollout undo`).

    The times that Go always writes are in it.
    """
    template = copied(owner["spec"].get("template") or {})
    claims = [(volume.get("ephemeral") or {}).get("volumeClaimTemplate") for volume in _volumes(template)]
    for each in (template, *filter(None, claims)):
        each["metadata"] = {**(each.get("metadata") or {}), "creationTimestamp": None}
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def _volumes(template: Object) -> Iterable[Object]:
    return (template.get("spec") or {}).get("volumes") or ()


def render_revision(owner: Object, resource: Resource, number: int) -> Object:
    """Return the revision of the owner's present template.

    kubectl finds that among the revisions by its bytes: fields are in the order of their names (kubectl 1.32:
    pkg/polymorphichelpers, daemonSetMatch and statefulsetMatch). It does not where a template holds `<`, `>` or `&`:
    Go's servers send them escaped, ours as they are.
    """
    data = orjson.loads(orjson.dumps(revision_data(owner), option=orjson.OPT_SORT_KEYS))
    collisions = (owner.get("status") or {}).get("collisionCount")
    of_stateful_set = resource == STATEFULSETS
    value = _bytes_hash(data, collisions or 0) if of_stateful_set else compute_hash(data, collisions)
    labels = (owner["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{objects.name(owner)}-{value}",
            "namespace": objects.namespace(owner),
            "labels": {**labels, _OF_STATEFUL_SETS if of_stateful_set else HASH_LABEL: value},
            "annotations": dict(objects.annotations(owner)),
            "ownerReferences": [owner_reference(owner, resource)],
        },
        "data": data,
        "revision": number,
    }


def _bytes_hash(data: Object, collisions: int) -> str:
    """FNV-1 of the bytes, which is upstream's own name for a StatefulSet's revision (HashControllerRevision)."""
    text = orjson.dumps(data)
    for char, escaped in _IN_HTML.items():
        text = text.replace(char, escaped)
    value = 0x811C9DC5
    for byte in text + str(collisions).encode():
        value = ((value * 0x01000193) & 0xFFFFFFFF) ^ byte
    return safe_encode(str(value))


def find_equal(owner: Object, revisions: Iterable[Object]) -> list[Object]:
    """Return the revisions that remember the owner's present template, oldest first."""
    data = meaningful(revision_data(owner))
    return sorted((r for r in revisions if meaningful(r.get("data")) == data), key=lambda r: int(r["revision"]))


def plan_history(revisions: Sequence[Object], live: Iterable[str], limit: int) -> list[Object]:
    """Return the revisions beyond `limit` that nobody uses, oldest first. live: names in use."""
    in_use = set(live)
    idle = sorted((r for r in revisions if objects.name(r) not in in_use), key=lambda r: int(r["revision"]))
    return idle[: max(0, len(idle) - limit)]


async def claim_revisions(client: Client, owner: Object, resource: Resource, lister: Lister) -> list[Object]:
    """Return the owner's revisions, those of a former owner that left them behind (`--cascade=orphan`) included.

    Without them the pods that were left as well would be of no known template, and all be replaced. Raises ApiError.
    """
    selector = label_selectors.from_label_selector(owner["spec"].get("selector"))
    claim = plan_claim(owner, selector, claimable(lister, owner, selector))
    return await apply_claim(client, owner, resource, CONTROLLERREVISIONS, claim)


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
    # One of nobody is ours as soon as the lister shows it.
    is_free = controller_of(existing) is None or is_controlled_by(existing, owner)
    if is_free and find_equal(owner, [existing]):
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
