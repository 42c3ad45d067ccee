"""The strategy of the objects that a definition defines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.validation.metadata import object_meta, object_meta_update
from apimachinery.meta import names
from apimachinery.meta.objects import copied
from apimachinery.meta.paths import Path, Problem, invalid, required
from controlplane.apiserver.extensions import structural
from controlplane.apiserver.extensions.paths import dotted, find
from controlplane.apiserver.extensions.values import ABSENT, check
from controlplane.apiserver.extensions.version import VersionRules
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.strategies.base import Object, Strategy, keep


class DefinedStrategy(Strategy):
    """Objects of a defined kind, in the version that is stored."""

    def __init__(self, resource: DefinedResource) -> None:
        super().__init__(resource)
        self._resource = resource
        self.generated = True
        self.create_on_update = False
        self.unconditional_update = False
        self.returns_deleted = False

    def _rules(self, call: Call) -> VersionRules:
        """The rules of the version the call came in: what it says is judged by the schema the client knows."""
        resource = call.resource if isinstance(call.resource, DefinedResource) else self._resource
        assert isinstance(resource.rules, VersionRules)
        if resource.rules.converter is not None:
            # The object is in the version that is stored, and only the webhook could bring it back.
            resource = self._resource
        assert isinstance(resource.rules, VersionRules)
        return resource.rules

    def _has_status(self, call: Call) -> bool:
        return call.resource.subresource("status") is not None

    def prepare_create(self, call: Call, obj: Object) -> None:
        _warn(call)
        if self._has_status(call):
            obj.pop("status", None)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        _warn(call)
        if self._has_status(call):
            keep(new, old, "status")

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        """Nothing but the status, metadata included."""
        for field in [*new, *old]:
            if field not in ("status", "metadata"):
                keep(new, old, field)
        managed = new["metadata"].get("managedFields")
        new["metadata"] = copied(old["metadata"])
        if managed is not None:
            new["metadata"]["managedFields"] = managed

    def spec_changed(self, new: Object, old: Object) -> bool:
        if self.has_status:
            return super().spec_changed(new, old)
        fields = ({*new, *old}) - {"apiVersion", "kind", "metadata"}
        return any(new.get(field) != old.get(field) for field in fields)

    def validate_create(self, call: Call, obj: Object) -> list[Problem]:
        problems = object_meta(obj, self.resource.namespaced, names.dns1123_subdomain)
        return problems + self._values(call, obj, ABSENT)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        return object_meta_update(new, old) + self._values(call, new, old)

    def _values(self, call: Call, obj: Object, old: Any) -> list[Problem]:
        rules = self._rules(call)
        seen = rules.convert(obj)
        before = old if old is ABSENT else rules.convert(old)
        problems = check(rules.schema, seen, "", before)
        for path, inner in structural.embedded_objects(seen, rules.node):
            problems += _embedded(inner, path)
        if rules.rules is not None and not problems:
            problems += rules.rules.check(seen, before, call.warn)
        return problems + _scale(call, seen)

    def fields(self, obj: Object) -> Mapping[str, str]:
        """Every version's, of the object as it is given: true of its own version, and where no webhook converts."""
        found = dict(super().fields(obj))
        for resource in self._resource.versions.values():
            assert isinstance(resource.rules, VersionRules)
            found |= resource.rules.selectable(obj)
        return found

    def field_label(self, resource: Resource, label: str) -> str:
        if label in ("metadata.name", "metadata.namespace"):
            return label
        assert isinstance(resource, DefinedResource)
        known = {each["jsonPath"].removeprefix(".") for each in resource.definition.get("selectableFields") or ()}
        if label not in known:
            raise ValueError(f"field label not supported: {label}")
        return label


def _warn(call: Call) -> None:
    """Tell a client of a deprecated version."""
    if isinstance(call.resource, DefinedResource) and isinstance(call.resource.rules, VersionRules):
        warning = call.resource.rules.warning
        if warning:
            call.warn(warning)


def _embedded(obj: Object, path: str) -> list[Problem]:
    """apiVersion and kind of an object within an object."""
    where = Path(path)
    problems = []
    for field in ("apiVersion", "kind"):
        value = obj.get(field)
        if not value:
            problems.append(required(where.child(field), "must not be empty"))
        elif not isinstance(value, str):
            problems.append(invalid(where.child(field), value, "must be a string"))
    return problems


def _scale(call: Call, obj: Object) -> list[Problem]:
    """Replicas, where the definition says they are, are no negative numbers."""
    resource = call.resource
    if not isinstance(resource, DefinedResource) or resource.subresource("scale") is None:
        return []
    about = resource.definition["subresources"]["scale"]
    problems = []
    for key in ("specReplicasPath", "statusReplicasPath"):
        for value in find(obj, dotted(about[key])):
            if type(value) is int and value < 0:
                problems.append(invalid(Path(about[key]), value, "should be a non-negative integer"))
            elif type(value) is int and value > 2**31 - 1:
                problems.append(invalid(Path(about[key]), value, f"should be less than or equal to {2**31 - 1}"))
    return problems
