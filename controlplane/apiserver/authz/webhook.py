"""--authorization-mode=Webhook: a webhook decides, asked by SubjectAccessReviews (as upstream's authorizer/webhook)."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.meta import fields, labels
from controlplane.apiserver.authn.remote_reviews import RemoteReviews, ReviewFailed
from controlplane.apiserver.authz.attributes import Attributes, Decision, EvaluationError

Object = dict[str, Any]

_REMEMBERED_MAX = 10_000  # characters that a client chose: longer questions would fill the memory
_OPERATORS = {
    "in": "In",
    "notin": "NotIn",
    "exists": "Exists",
    "!": "DoesNotExist",
    "=": "In",
    "==": "In",
    "!=": "NotIn",
}


class WebhookAuthorizer:
    """groups: what the member of the user's groups is called ("group" in v1beta1). The rest are the seconds that
    answers hold."""

    def __init__(self, reviews: RemoteReviews, groups: str, *, authorized: float, unauthorized: float) -> None:
        self._reviews, self._groups = reviews, groups
        self._authorized, self._unauthorized = authorized, unauthorized

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """Raises EvaluationError when the webhook gives no answer, or one that cannot be."""
        spec = render(attributes, self._groups)
        key = orjson.dumps(spec)
        told = self._reviews.remembered(key)
        if told is None:
            try:
                told = await self._reviews.ask(spec, {"allowed": False})
            except ReviewFailed as error:
                raise EvaluationError(str(error)) from None
            if _chosen(attributes) < _REMEMBERED_MAX:
                seconds = self._authorized if told.get("allowed") is True else self._unauthorized
                self._reviews.remember(key, told, seconds)
        allowed, denied, reason = told.get("allowed") is True, told.get("denied") is True, str(told.get("reason") or "")
        if denied and allowed:
            raise EvaluationError("webhook subject access review returned both allow and deny response", denied=True)
        if denied:
            return Decision.DENY, reason
        return (Decision.ALLOW if allowed else Decision.NO_OPINION), reason


def render(attributes: Attributes, groups: str = "groups") -> Object:
    """The spec of the review, without empty members."""
    user = attributes.user.to_info()
    spec: Object = {"user": attributes.user.name} if attributes.user.name else {}
    if attributes.user.groups:
        spec[groups] = user["groups"]
    spec |= {key: user[key] for key in ("uid", "extra") if key in user}
    if not attributes.is_resource:
        return {"nonResourceAttributes": {"path": attributes.path, "verb": attributes.verb}, **spec}
    asked = {
        "namespace": attributes.namespace,
        "verb": attributes.verb,
        "group": attributes.group,
        "version": attributes.version,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "name": attributes.name,
        "fieldSelector": _selected(_field_requirements(attributes.field_selector)),
        "labelSelector": _selected(_label_requirements(attributes.label_selector)),
    }
    return {"resourceAttributes": {key: value for key, value in asked.items() if value}, **spec}


def _chosen(attributes: Attributes) -> int:
    kind = (attributes.verb, attributes.group, attributes.version, attributes.resource, attributes.subresource)
    where = (attributes.namespace, attributes.name, attributes.path)
    return sum(map(len, (*kind, *where, attributes.field_selector, attributes.label_selector)))


def _selected(requirements: list[Object]) -> Object:
    return {"requirements": requirements} if requirements else {}


def _field_requirements(text: str) -> list[Object]:
    try:
        terms = fields.parse_selector(text).terms if text else ()
    except ValueError:
        return []  # what is no selector limits nothing
    return [{"key": each.field, "operator": _OPERATORS[each.operator], "values": [each.value]} for each in terms]


def _label_requirements(text: str) -> list[Object]:
    try:
        found = labels.parse_selector(text).requirements if text else ()
    except ValueError:
        return []
    return [
        {"key": each.key, "operator": _OPERATORS[each.operator], **({"values": [*each.values]} if each.values else {})}
        for each in found
        if each.operator in _OPERATORS
    ]
