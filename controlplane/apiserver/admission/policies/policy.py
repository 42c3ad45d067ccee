"""Policies and bindings as they are stored, made ready to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from apimachinery.api.catalogue import Resource
from apimachinery.meta import labels
from apimachinery.meta.labels import Selector
from controlplane.apiserver.admission import matching
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.expressions import VARIABLES, Conditions, Expression
from controlplane.apiserver.admission.lookup import Lookup

Object = dict[str, Any]

_NAMES = (*VARIABLES, "namespaceObject")


class Criteria:
    """MatchResources: what a policy, or a binding of it, is about."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._rules = list(document.get("resourceRules") or ())
        self._excluded = list(document.get("excludeResourceRules") or ())
        self._equivalent = (document.get("matchPolicy") or "Equivalent") == "Equivalent"
        self._namespaces = _selector(document.get("namespaceSelector"))
        self._objects = _selector(document.get("objectSelector"))

    async def matches(self, review: Review, namespaces: Lookup) -> Resource | None:
        """The resource that the request is known by; None when it is not meant. Raises ApiError 404 (no namespace)."""
        if not matching.object_matches(self._objects, review):
            return None
        if matching.match_rules(self._excluded, review, equivalent=self._equivalent) is not None:
            return None
        found: Resource | None = review.resource
        if self._rules:
            found = matching.match_rules(self._rules, review, equivalent=self._equivalent)
        if found is None or not await matching.namespace_matches(self._namespaces, review, namespaces):
            return None
        return found


class Validation(Struct, frozen=True):
    """One rule. message: what is said when it does not hold, unless `message_expression` says it better."""

    expression: Expression
    message: str
    reason: str
    message_expression: Expression | None


class AuditAnnotation(Struct, frozen=True):
    """A value for the audit event."""

    key: str
    value: Expression


class Binding(Struct, frozen=True):
    """One use of a policy. `criteria` None matches everything that the policy does."""

    name: str
    policy: str
    criteria: Criteria | None
    params: Mapping[str, Any] | None
    actions: tuple[str, ...]


class Policy(Struct, frozen=True):
    """`params`: apiVersion and kind of its parameters, or None; `variables` in the order they may use each other."""

    name: str
    fail: bool
    criteria: Criteria | None
    params: tuple[str, str] | None
    conditions: Conditions | None
    variables: Mapping[str, Expression]
    validations: tuple[Validation, ...]
    annotations: tuple[AuditAnnotation, ...]
    bindings: list[Binding] = field(default_factory=list)


def parse_policy(document: Mapping[str, Any]) -> Policy:
    """A stored ValidatingAdmissionPolicy."""
    spec = document.get("spec") or {}
    kind = spec.get("paramKind")
    base = (*_NAMES, "params") if kind else _NAMES
    variables: dict[str, Expression] = {}
    for each in spec.get("variables") or ():
        variables[each["name"]] = Expression(each["expression"], (*base, *(f"variables.{name}" for name in variables)))
    names = (*base, *(f"variables.{name}" for name in variables))
    silent = tuple(name for name in names if not name.startswith("authorizer"))
    fail = (spec.get("failurePolicy") or "Fail") == "Fail"
    conditions = spec.get("matchConditions")
    constraints = spec.get("matchConstraints")
    return Policy(
        document["metadata"]["name"],
        fail,
        Criteria(constraints) if constraints is not None else None,
        (kind.get("apiVersion") or "", kind.get("kind") or "") if kind else None,
        Conditions(conditions, names[len(VARIABLES) :], fail=fail) if conditions else None,
        variables,
        tuple(
            Validation(
                Expression(each["expression"], names),
                (each.get("message") or "").strip(),
                each.get("reason") or "Invalid",
                Expression(each["messageExpression"], silent) if each.get("messageExpression") else None,
            )
            for each in spec.get("validations") or ()
        ),
        tuple(
            AuditAnnotation(each["key"], Expression(each["valueExpression"], names))
            for each in spec.get("auditAnnotations") or ()
        ),
    )


def parse_binding(document: Mapping[str, Any]) -> Binding:
    """A stored ValidatingAdmissionPolicyBinding."""
    spec = document.get("spec") or {}
    resources = spec.get("matchResources")
    return Binding(
        document["metadata"]["name"],
        spec.get("policyName") or "",
        Criteria(resources) if resources is not None else None,
        spec.get("paramRef"),
        tuple(spec.get("validationActions") or ()),
    )


def _selector(document: Mapping[str, Any] | None) -> Selector:
    return labels.from_label_selector(document or {})
