"""A request in the version, and of the kind, that somebody asks for it in."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any

from apimachinery.api import defaults
from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.api.schema import SCHEMA
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.registry.conversion import convert, stored_resource
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.strategies.scale import SCALE, scale_of

Object = dict[str, Any]
Gvk = tuple[str, str, str]


def equivalents(resource: Resource) -> tuple[Resource, ...]:
    """Every resource that serves the same stored objects, itself included."""
    if isinstance(resource, DefinedResource):
        return tuple(resource.versions.values())
    return _built_in(resource)


@lru_cache(maxsize=1024)
def _built_in(resource: Resource) -> tuple[Resource, ...]:
    stored = stored_resource(resource)
    return tuple(each for each in CATALOGUE if each.kind == resource.kind and stored_resource(each) is stored)


def kind_of(review: Review, resource: Resource) -> Gvk:
    """The kind of the object in a request, were it asked of `resource`."""
    if review.kind is not None:
        return review.kind
    return SCALE if review.call.subresource == "scale" else resource.gvk


def present(review: Review, resource: Resource) -> tuple[Object | None, Object | None]:
    """The new and the old object as `resource` has them; not to be changed."""
    return _presented(review, resource, review.new), _presented(review, resource, review.old)


def _presented(review: Review, resource: Resource, obj: Object | None) -> Object | None:
    if obj is None or review.kind is not None:
        return obj
    obj = convert(obj, resource)
    return scale_of(obj, resource) if review.call.subresource == "scale" else obj


def adopt(review: Review, resource: Resource, changed: Object) -> bool:
    """Let `changed`, an object as `present` gave it, be what the request is about; whether that is a change.

    It is read and defaulted like a body. Raises ApiError 500 for what is no object of the kind.
    """
    before, _ = present(review, resource)
    assert review.new is not None
    read = _read(review, resource, changed)
    if read == before:
        return False
    if review.kind is not None:
        result = read
    elif review.call.subresource == "scale":
        result = _scaled(review.new, resource, (read.get("spec") or {}).get("replicas") or 0)
    else:
        result = convert(read, stored_resource(resource))
    review.new.clear()
    review.new.update(result)
    return True


def _read(review: Review, resource: Resource, document: Object) -> Object:
    document = deepcopy(document)
    if review.kind is None and review.call.subresource != "scale" and isinstance(resource, DefinedResource):
        return resource.rules.read(review.call, document, "")
    gvk = kind_of(review, resource)
    decoded = SCHEMA.decode(gvk, document)
    if decoded.error is not None:
        raise status.internal(decoded.error)
    defaults.apply_gvk(gvk, decoded.object)
    return decoded.object


def _scaled(obj: Object, resource: Resource, replicas: int) -> Object:
    if isinstance(resource, DefinedResource):
        return convert(resource.rules.with_replicas(convert(obj, resource), replicas), resource.stored)
    return {**obj, "spec": {**obj["spec"], "replicas": replicas}}
