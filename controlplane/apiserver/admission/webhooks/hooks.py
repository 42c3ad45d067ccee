"""The webhooks of all configurations, in the order they are asked in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import labels, status
from apimachinery.meta.labels import Selector
from controlplane.apiserver.admission import matching
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.expressions import Conditions, ExpressionError, bindings
from controlplane.apiserver.admission.lookup import Lookup

Object = dict[str, Any]

DEFAULT_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook. uid: of the configuration, the name, and a number for hooks of one name; `timeout`: seconds."""

    configuration: str
    uid: str
    name: str
    client: Mapping[str, Any]
    rules: tuple[Mapping[str, Any], ...]
    fail: bool
    equivalent: bool
    side_effects: str | None
    timeout: int
    versions: tuple[str, ...]
    again: bool
    namespaces: Selector
    objects: Selector
    conditions: Conditions | None = field(compare=False)

    async def matches(self, review: Review, namespaces: Lookup) -> Resource | None:
        """The resource that the hook is to be told the request is about; None when it is not to be asked.

        Raises ApiError: 404 for a namespace that is not there, 403 when a match condition fails.
        """
        if not matching.object_matches(self.objects, review):
            return None
        found = matching.match_rules(self.rules, review, equivalent=self.equivalent)
        if found is None or not await matching.namespace_matches(self.namespaces, review, namespaces):
            return None
        if self.conditions is not None:
            try:
                if not self.conditions.match(bindings(review, found)):
                    return None
            except ExpressionError as error:
                raise review.forbidden(str(error)) from None
        return found


class Hooks:
    """The hooks that a lookup of configurations holds, parsed once a change."""

    def __init__(self, configurations: Lookup) -> None:
        self._configurations = configurations
        self._version = -1
        self._hooks: list[Hook] = []

    async def all(self, review: Review) -> list[Hook]:
        """By configuration name, then as they are listed."""
        await self._configurations.ready(review)
        if self._version != self._configurations.version:
            self._version = self._configurations.version
            self._hooks = [hook for each in self._configurations.all() for hook in parse(each)]
        return self._hooks


def parse(configuration: Mapping[str, Any]) -> list[Hook]:
    """The hooks of one MutatingWebhookConfiguration or ValidatingWebhookConfiguration."""
    found: list[Hook] = []
    seen: dict[str, int] = {}
    name = configuration["metadata"]["name"]
    for each in configuration.get("webhooks") or ():
        number = seen[each["name"]] = seen.get(each["name"], -1) + 1
        fail = (each.get("failurePolicy") or "Fail") == "Fail"
        conditions = each.get("matchConditions")
        found.append(
            Hook(
                name,
                f"{name}/{each['name']}/{number}",
                each["name"],
                each.get("clientConfig") or {},
                tuple(each.get("rules") or ()),
                fail,
                (each.get("matchPolicy") or "Equivalent") == "Equivalent",
                each.get("sideEffects"),
                each.get("timeoutSeconds") or DEFAULT_TIMEOUT,
                tuple(each.get("admissionReviewVersions") or ()),
                each.get("reinvocationPolicy") == "IfNeeded",
                _selector(each.get("namespaceSelector")),
                _selector(each.get("objectSelector")),
                Conditions(conditions, fail=fail) if conditions else None,
            )
        )
    return found


def _selector(document: Mapping[str, Any] | None) -> Selector:
    try:
        return labels.from_label_selector(document or {})
    except ValueError as error:
        raise status.internal(str(error)) from None
