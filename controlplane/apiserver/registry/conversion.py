"""The same object in another version: what is stored in one version is served in all of its group.

Almost every kind has one version. Events of `events.k8s.io` are the core group's under other names of fields, and
autoscaling/v1 is a narrower autoscaling/v2 (`autoscalers`; pkg/apis/events/v1/conversion.go).
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import CATALOGUE, Resource
from controlplane.apiserver.registry.autoscalers import to_v1, to_v2
from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]

_EVENT_NAMES = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
)


def stored_resource(resource: Resource) -> Resource:
    """The resource whose version is kept in the store."""
    if isinstance(resource, DefinedResource):
        return resource.stored
    version = f"{resource.storage_group}/{resource.storage_version}" if resource.storage_group else "v1"
    found = CATALOGUE.by_kind(version, resource.kind)
    # A resource that a gate has changed is the stored one itself.
    return resource if found is None or found.gvk == resource.gvk else found


async def converted(obj: Object, resource: Resource) -> Object:
    """`obj` as an object of `resource`; itself when it is one already. Raises ApiError 500 when a webhook should
    convert it and does not."""
    if isinstance(resource, DefinedResource) and obj.get("apiVersion") != resource.api_version:
        return (await resource.rules.convert_all([obj]))[0]
    return convert(obj, resource)


async def converted_all(objects: list[Object], resource: Resource) -> list[Object]:
    """The same for many at once."""
    if isinstance(resource, DefinedResource):
        return await resource.rules.convert_all(objects)
    return [convert(obj, resource) for obj in objects]


def served_as_stored(resource: Resource, stored: Resource) -> bool:
    """Whether the bytes in the store are what is served: the same version, of a kind that has no other and never had
    another schema."""
    return resource is stored and (
        not isinstance(resource, DefinedResource) or (len(resource.versions) == 1 and resource.rules.settled)
    )


def convert(obj: Object, resource: Resource) -> Object:
    """`obj` as an object of `resource`; itself when it is one already. Mutates nothing. A kind that a webhook converts
    only gets the other apiVersion here."""
    if isinstance(resource, DefinedResource):
        return resource.rules.convert(obj)
    have = obj.get("apiVersion")
    if have == resource.api_version:
        return obj
    converted = {**obj, "apiVersion": resource.api_version}
    if resource.kind == "Event":
        for new, old in _EVENT_NAMES:
            source, target = (old, new) if resource.group else (new, old)
            if source in converted:
                converted[target] = converted.pop(source)
    elif resource.kind == "HorizontalPodAutoscaler":
        return to_v1(converted) if resource.version == "v1" else to_v2(converted)
    return converted
