"""What a kind may say about its objects; the defaults are those of a plain kind with a status.

Functions change the object they are given, which belongs to the request; `old` is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from copy import deepcopy
from datetime import datetime
from types import MappingProxyType
from typing import Any

from apimachinery.api import validation, warnings
from apimachinery.api.catalogue import Resource
from apimachinery.api.validation.checks import same
from apimachinery.meta.paths import Problem
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.field_labels import field_label
from controlplane.apiserver.strategies import facts
from controlplane.apiserver.strategies.gated import drop_gated

Object = dict[str, Any]

Now = Callable[[], datetime]

_GATED = ("", "apps", "batch")


class Strategy:
    """The strategy of one resource (of the stored version).

    gates: the feature gates that are set; all others are as they are by default.
    """

    gates: Mapping[str, bool] = MappingProxyType({})

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.has_status = resource.subresource("status") is not None
        self.generated = (resource.group, resource.kind) in facts.GENERATED
        self.create_on_update = resource.kind in facts.CREATED_ON_UPDATE
        self.unconditional_update = resource.kind not in facts.CONDITIONAL
        self.returns_deleted = resource.kind in facts.RETURNED
        self.owns = resource.kind != "Event" or resource.group != ""
        """Whether its objects can own others (DefaultGarbageCollectionPolicy other than Unsupported)."""
        self.orphans = resource.kind in facts.ORPHANING and resource.group in ("", "batch")

    def drop_disabled(self, new: Object, old: Object | None) -> None:
        """Take away what a closed feature gate keeps from clients, before `prepare_create` and `prepare_update`."""
        if self.resource.group in _GATED:  # others may have kinds of the same names
            drop_gated(self.resource.kind, new, old, self.gates)

    def take_in(self, obj: Object) -> None:
        """What Go's conversion makes of an object that is to be created, before anybody is said to own a field."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        """Before defaults-dependent validation: drop what a client may not say."""
        if self.has_status:
            obj.pop("status", None)
        empty = facts.EMPTY_STATUS.get((self.resource.group, self.resource.kind))
        if empty is not None:
            obj["status"] = deepcopy(empty)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        """The specification's update keeps the old status."""
        if self.has_status:
            keep(new, old, "status")

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        """The status subresource's update keeps everything but the status and (as upstream, for most kinds) what the
        client says of labels, annotations, finalizers and owners."""
        for field in {*new, *old} - {"status", "metadata"}:
            keep(new, old, field)
        if self.resource.kind in facts.STATUS_ONLY:
            for field in facts.STATUS_KEEPS:
                keep(new["metadata"], old["metadata"], field)

    def prepare_subresource(self, call: Call, new: Object, old: Object) -> None:
        """An update through another subresource that holds the whole object."""
        self.prepare_update(call, new, old)

    def validate_create(self, call: Call, obj: Object) -> list[Problem]:
        return validation.validate_create(self.resource, obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        match call.subresource:
            case "status":
                return validation.validate_status_update(self.resource, new, old)
            case "finalize":
                return validation.validate_finalize(new, old)
            case "approval":
                return validation.validate_approval(new, old)
        return validation.validate_update(self.resource, new, old)

    def warn(self, call: Call, new: Object, old: Object | None) -> None:
        """Tell the client what upstream says about an object that is stored all the same."""
        if old is None:
            found = warnings.for_create(self.resource, new)
        elif call.subresource in ("", "scale"):
            found = warnings.for_update(self.resource, new, old)
        else:
            return
        for text in found:
            call.warn(text)

    def unnamed(self) -> str:
        """The name of an object that was given none; "" for a kind that must have one."""
        return ""

    def spec_changed(self, new: Object, old: Object) -> bool:
        """Whether the generation goes up: anything but metadata and status changed."""
        fields = ({*new, *old}) - {"apiVersion", "kind", "metadata", "status"}
        return any(new.get(each) != old.get(each) and not same(new.get(each), old.get(each)) for each in fields)

    def claim(self, call: Call, new: Object, old: Object | None) -> AbstractAsyncContextManager[None]:
        """Take what must be taken before the write (addresses, ports) and give back what is free after it; what was
        taken goes back when the write fails."""
        return nullcontext()

    async def released(self, obj: Object) -> None:
        """The object is gone from the store."""

    async def authorize(self, call: Call, new: Object, old: Object | None) -> None:
        """Raises ApiError 403 for what only some may write (RBAC escalation)."""

    def check_delete(self, call: Call, obj: Object) -> None:
        """Raises ApiError when the object may not be deleted now."""

    def grace(self, obj: Object, asked: int | None) -> int | None:
        """Seconds of graceful deletion, or None for a kind that is deleted at once."""
        return None

    def held(self, obj: Object) -> bool:
        """Whether something keeps a deleted object in the store."""
        return bool(obj["metadata"].get("finalizers"))

    def ending(self, obj: Object) -> Object:
        """The object with what else its end changes about it; a new dict if anything."""
        return obj

    def fields(self, obj: Object) -> Mapping[str, str]:
        """The fields that a field selector may name, with their values."""
        meta = obj["metadata"]
        found = {"metadata.name": meta["name"]}
        if self.resource.namespaced:
            found["metadata.namespace"] = meta.get("namespace") or ""
        return found

    def field_label(self, resource: Resource, label: str) -> str:
        """The name in `fields` of what a selector calls `label` in that version. ValueError for an unknown one."""
        return field_label(resource.group, resource.kind, label)

    def ttl(self, obj: Object) -> int | None:
        """Seconds after which the store forgets the object by itself."""
        return None


def keep(new: Object, old: Mapping[str, Any], field: str) -> None:
    """Undo the change of one field."""
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)
