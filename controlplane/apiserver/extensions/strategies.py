"""The strategy of the objects that a definition defines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.validation.metadata import object_meta, object_meta_update
from apimachinery.meta import names
from apimachinery.meta.objects import copied
from apimachinery.meta.paths import Path, Problem, invalid
from controlplane.apiserver.extensions.object_problems import (
    embedded_problems,
    finalizer_warnings,
    replicas_problems,
    status_problems,
)
from controlplane.apiserver.extensions.unique_items import unique_problems
from controlplane.apiserver.extensions.values import ABSENT, check
from controlplane.apiserver.extensions.version import VersionRules
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.strategies.base import Object, Strategy, keep

_BLOCKING = (
    *("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany"),
    "FieldValueTypeInvalid",
)
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


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
        if self._has_status(call):
            obj.pop("status", None)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
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
        rules = self._rules(call)
        seen = rules.convert(obj)
        problems += check(rules.schema, seen, "")
        problems += replicas_problems(call.resource, seen)
        problems += embedded_problems(rules.node, seen)
        problems += unique_problems(rules.schema, seen, Path())
        return problems + _by_rules(rules, problems, seen, ABSENT, call.warn)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        problems = object_meta_update(new, old)
        rules = self._rules(call)
        seen, before = rules.convert(new), rules.convert(old)
        if call.subresource == "status":
            # What else is stored is not judged, and what the status was says nothing for it.
            problems += status_problems(rules.schema, seen)
            problems += replicas_problems(call.resource, seen, only_status=True)
        else:
            problems += check(rules.schema, seen, "", before)
            problems += replicas_problems(call.resource, seen)
            problems += embedded_problems(rules.node, seen)
        if twice := list(unique_problems(rules.schema, seen, Path())):
            problems += twice if not list(unique_problems(rules.schema, before, Path())) else []
        warn = None if call.subresource == "status" else call.warn
        return problems + _by_rules(rules, problems, seen, before, warn)

    def warn(self, call: Call, new: Object, old: Object | None) -> None:
        if call.subresource != "status":
            for text in finalizer_warnings(new, old):
                call.warn(text)

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


def _by_rules(
    rules: VersionRules, problems: list[Problem], obj: Object, old: Any, warn: Callable[[str], None] | None
) -> list[Problem]:
    """What the CEL rules say, unless the object's form is so wrong that they might not be able to read it."""
    if rules.rules is None:
        return []
    if any(each.type in _BLOCKING for each in problems):
        return [invalid(Path(), None, _NOT_CHECKED)]
    return rules.rules.check(obj, old, warn)
