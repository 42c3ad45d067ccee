"""Who owns an object (metadata.ownerReferences)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import objects

Object = dict[str, Any]


def controller_of(obj: Object) -> Object | None:
    """The owner reference with `controller: true`; there is at most one."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Object = reference
            return found
    return None


def controller_key(obj: Object, resource: Resource) -> str | None:
    """`namespace/name` of the controller of `obj` if that is of `resource`'s kind, otherwise None."""
    reference = controller_of(obj)
    if reference is None or reference.get("kind") != resource.kind:
        return None
    return f"{objects.namespace(obj)}/{reference['name']}"


def is_controlled_by(obj: Object, owner: Object) -> bool:
    """By uid: an owner of the same name that was made anew is another owner."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == objects.uid(owner)


def owner_reference(owner: Object, resource: Resource) -> Object:
    """The reference that makes `owner` the controller of what carries it."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": objects.name(owner),
        "uid": objects.uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
