"""The scale subresource: any workload as an autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.schema import SCHEMA
from apimachinery.meta import labels, status
from apimachinery.meta.go_print import quoted
from apimachinery.meta.objects import copied
from apimachinery.meta.paths import Path, invalid
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.apply import apply
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.registry.patch import patched, read_patched
from controlplane.apiserver.registry.update import change_object

Object = dict[str, Any]

SCALE = ("autoscaling", "v1", "Scale")
_UNSET = -(2**31)
_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_APPLIED_META = ("name", "namespace", "uid", "resourceVersion", "managedFields")


def scale_of(obj: Object, resource: Resource) -> Object:
    """The Scale of a workload."""
    if isinstance(resource, DefinedResource):
        return resource.rules.scale_of(obj)
    spec, state, meta = obj.get("spec") or {}, obj.get("status") or {}, obj["metadata"]
    selector = spec.get("selector") or {}
    if obj["kind"] == "ReplicationController":
        text = str(labels.from_set(selector))
    else:
        text = labels.format_label_selector(selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: meta[field] for field in _META if field in meta},
        "spec": {"replicas": spec.get("replicas") or 0} if spec.get("replicas") else {},
        "status": {"replicas": state.get("replicas") or 0, "selector": text},
    }


async def get_scale(collection: Collection, call: Call) -> Object:
    """Raises ApiError 404; 500 for an object of a defined kind that says nothing of replicas."""
    obj = await converted(await collection.store.get(call.namespace, call.name), call.resource)
    if path := _missing(obj, call.resource):
        raise status.internal(f"the spec replicas field {quoted(path)} does not exist")
    return scale_of(obj, call.resource)


def _missing(obj: Object, resource: Resource) -> str:
    return resource.rules.missing_replicas(obj) if isinstance(resource, DefinedResource) else ""


def _to_patch(obj: Object, resource: Resource) -> Object:
    """The Scale that a patch is applied to: it must say replicas where the object does not."""
    scale = scale_of(obj, resource)
    return {**scale, "spec": {"replicas": _UNSET}} if _missing(obj, resource) else scale


def _check_replicas(call: Call, replicas: int) -> None:
    """Raises ApiError 422."""
    if replicas < 0:
        problem = invalid(Path("spec").child("replicas"), replicas, "must be greater than or equal to 0")
        raise status.invalid("Scale.autoscaling", call.name, [problem])


def _check_uid(call: Call, asked: Object, current: Object) -> None:
    """Raises ApiError 409 for a Scale of another object of that name."""
    uid, found = asked["metadata"].get("uid"), current["metadata"].get("uid")
    if uid and uid != found:
        about = f"{call.resource.plural}/scale" + (f".{call.resource.group}" if call.resource.group else "")
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
        raise status.conflict(about, call.name, why)


async def update_scale(collection: Collection, call: Call, document: Any, media: str | None) -> Object:
    """PUT (media None) or PATCH of the Scale: sets the workload's replicas. Raises ApiError 400, 404, 409, 422."""

    async def change(current: Object) -> Object:
        if media is None:
            asked = read(call, dict(document) if isinstance(document, dict) else document, *SCALE)
        else:
            shown = await converted(current, call.resource)
            scale = _to_patch(shown, call.resource)
            asked = read_patched(call, patched(call, scale, document, media), document, media, SCALE)
        metadata.place(call, asked)
        _check_uid(call, asked, current)
        metadata.check_version(collection.resource, asked, current, unconditional=True)
        replicas = (asked.get("spec") or {}).get("replicas") or 0
        if media is not None and replicas == _UNSET:
            path = _missing(shown, call.resource)
            raise status.bad_request(f"the spec replicas field {quoted(path)} cannot be empty")
        _check_replicas(call, replicas)
        if isinstance(call.resource, DefinedResource):
            changed = call.resource.rules.with_replicas(await converted(current, call.resource), replicas)
            return await converted(changed, collection.resource)
        return {**current, "spec": {**current["spec"], "replicas": replicas}}

    written = await change_object(collection, call, call.name, change)
    return scale_of(await converted(written, call.resource), call.resource)


async def apply_scale(collection: Collection, call: Call, document: Any) -> Object:
    """PATCH of the Scale by an applied configuration (client-go's ApplyScale): its manager comes to own the workload's
    replicas, as by the subresource scale. Raises ApiError 400, 404, 409 (another applier's replicas), 422."""
    written, _ = await apply(collection, call, _of_workload(call, document))
    return scale_of(written, call.resource)


def _of_workload(call: Call, document: Any) -> Object:
    """The configuration of the workload that says what the Scale's does."""
    if not isinstance(document, dict) or not isinstance(document.get("metadata") or {}, dict):
        raise status.bad_request("the body of an apply patch must be an object")
    version, kind = document.get("apiVersion") or "", document.get("kind") or ""
    if (version, kind) != ("autoscaling/v1", "Scale"):
        raise status.bad_request(f"invalid object type: {version}, Kind={kind}")
    for unknown in SCHEMA.unknown_fields(SCALE, document):
        what = f"failed to create typed patch object ({call.namespace}/{call.name}; {version}, Kind={kind})"
        raise status.bad_request(f"{what}: .{unknown}: field not declared in schema")
    asked, resource, meta = read(call, copied(document), *SCALE), call.resource, document.get("metadata") or {}
    config: Object = {"metadata": {field: meta[field] for field in _APPLIED_META if field in meta}}
    if (replicas := (asked.get("spec") or {}).get("replicas")) is not None:
        _check_replicas(call, replicas)
        if isinstance(resource, DefinedResource):
            config = resource.rules.with_replicas(config, replicas)
        else:
            config["spec"] = {"replicas": replicas}
    return {"apiVersion": resource.api_version, "kind": resource.kind, **config}
