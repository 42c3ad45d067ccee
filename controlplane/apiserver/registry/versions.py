"""An object and its changes in the versions in which somebody's fields are recorded: whoever writes in a version owns
fields of that version, and is compared with in it (structured-merge-diff's Converter).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.meta.objects import copied
from controlplane.apiserver.registry import field_sets
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.field_sets import Fields
from controlplane.apiserver.registry.kinds import DefinedResource, apply_meta

Object = dict[str, Any]
Changes = tuple[Fields, Fields]
"""What is new or has another value, and what is gone."""


def in_version(resource: Resource, api_version: str) -> Resource | None:
    """The same kind in another version; None when it has no such version, or no longer."""
    if api_version == resource.api_version:
        return resource
    if isinstance(resource, DefinedResource):
        group, _, version = api_version.rpartition("/")
        return resource.versions.get(version) if group == resource.group else None
    return CATALOGUE.by_kind(api_version, resource.kind)


async def as_seen(obj: Object, resource: Resource) -> Object:
    """`obj` in that version, itself when it is in it. Raises ApiError 500 when a webhook does not convert it."""
    if obj.get("apiVersion") == resource.api_version:
        return obj
    made = await converted(obj, resource)
    # autoscaling/v1 has zeros in a status that nobody wrote.
    return made if "status" in obj else {name: value for name, value in made.items() if name != "status"}


async def changes_seen(old: Object | None, new: Object, resource: Resource) -> Changes:
    """What lies between two states of an object, in that version."""
    before = {} if old is None else await as_seen(old, resource)
    return field_sets.changes_between(before, await as_seen(new, resource), apply_meta(resource))


async def changes_elsewhere(
    entries: Iterable[Object], old: Object | None, new: Object, resource: Resource
) -> dict[str, Changes]:
    """The same in every other version that an entry of managedFields is of; nothing for one that the kind has not."""
    found: dict[str, Changes] = {}
    for api_version in {str(entry.get("apiVersion")) for entry in entries} - {resource.api_version}:
        if other := in_version(resource, api_version):
            found[api_version] = await changes_seen(old, new, other)
    return found


async def translated(fields: Fields, obj: Object, source: Resource, target: Resource) -> Fields:
    """The fields of an object in the version `target` that are not there, or have other values, without `fields` of
    the version `source`: a conversion tells no more of which field comes from which."""
    whole = await as_seen(obj, source)
    less = copied(whole)
    for path in fields:
        # A map goes with what is in it: to own the map itself is no more than to have added it.
        if field_sets.is_managed(path) and not (path[-1] == "." and path[-2].startswith("f:")):
            field_sets.remove(less, path)
    less.setdefault("metadata", whole["metadata"])
    before = await as_seen(whole, target)
    changed, gone = field_sets.changes_between(before, await as_seen(less, target), apply_meta(target))
    return (changed | gone) & field_sets.fields_of(before, apply_meta(target))
