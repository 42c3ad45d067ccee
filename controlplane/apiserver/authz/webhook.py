"""Webhooks that decide, asked by SubjectAccessReviews: --authorization-mode=Webhook, and any number of them with
--authorization-config (as upstream's authorizer/webhook)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter, Histogram
from apimachinery.meta import fields, labels
from controlplane.apiserver.authn.remote_reviews import RemoteReviews, ReviewFailed
from controlplane.apiserver.authz.attributes import Attributes, Decision, EvaluationError
from controlplane.apiserver.authz.configuration import WebhookSettings

if TYPE_CHECKING:
    from controlplane.apiserver.authz.match_conditions import MatchConditions

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


_PREFIX = "apiserver_authorization_webhook_"
_ROUNDS = Counter(f"{_PREFIX}evaluations_total", "Questions to webhooks that decide", ["name", "result"])
_SECONDS = Histogram(
    f"{_PREFIX}duration_seconds",
    "Seconds that webhooks took to decide",
    ["name", "result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_OPEN = Counter(f"{_PREFIX}evaluations_fail_open_total", "Failures that were left to the next", ["name", "result"])


class WebhookAuthorizer:
    """name: how the metrics call it."""

    def __init__(self, settings: WebhookSettings, client: ClientConfig, name: str, clock: Clock) -> None:
        self._settings, self._name = settings, name
        self._groups = "group" if settings.version == "v1beta1" else "groups"
        version = f"authorization.k8s.io/{settings.version}"
        self.reviews = RemoteReviews(
            client, version, "SubjectAccessReview", clock, timeout=settings.timeout, observe=self._asked
        )
        self._conditions: MatchConditions | None = None
        if settings.conditions:
            from controlplane.apiserver.authz.match_conditions import MatchConditions  # which loads CEL

            self._conditions = MatchConditions(settings.conditions, name)

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """Raises EvaluationError when the webhook gives no answer, or one that cannot be, and when nobody can tell
        whether it is to be asked."""
        if self._conditions is not None and not self._concerned(self._conditions, attributes):
            return Decision.NO_OPINION, ""
        spec = render(attributes, self._groups)
        key = orjson.dumps(spec)
        told = self.reviews.remembered(key)
        if told is None:
            settings = self._settings
            try:
                told = await self.reviews.ask(spec, {"allowed": False})
            except ReviewFailed as error:
                if not settings.denies:
                    _OPEN.labels(self._name, error.result).inc()
                raise EvaluationError(str(error), denied=settings.denies) from None
            if _chosen(attributes) < _REMEMBERED_MAX:
                seconds = settings.authorized_ttl if told.get("allowed") is True else settings.unauthorized_ttl
                self.reviews.remember(key, told, seconds)
        allowed, denied, reason = told.get("allowed") is True, told.get("denied") is True, str(told.get("reason") or "")
        if denied and allowed:
            raise EvaluationError("webhook subject access review returned both allow and deny response", denied=True)
        if denied:
            return Decision.DENY, reason
        return (Decision.ALLOW if allowed else Decision.NO_OPINION), reason

    def _concerned(self, conditions: MatchConditions, attributes: Attributes) -> bool:
        from controlplane.apiserver.authz.match_conditions import ConditionError

        try:
            return conditions.match(attributes)
        except ConditionError as error:
            raise EvaluationError(str(error), denied=self._settings.denies) from None

    def _asked(self, result: str, seconds: float) -> None:
        _ROUNDS.labels(self._name, result).inc()
        _SECONDS.labels(self._name, result).observe(seconds)


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
        **attributes.of_resource(),
        "fieldSelector": _selected(field_requirements(attributes.field_selector)),
        "labelSelector": _selected(label_requirements(attributes.label_selector)),
    }
    return {"resourceAttributes": {key: value for key, value in asked.items() if value}, **spec}


def _chosen(attributes: Attributes) -> int:
    kind = (attributes.verb, attributes.group, attributes.version, attributes.resource, attributes.subresource)
    where = (attributes.namespace, attributes.name, attributes.path)
    return sum(map(len, (*kind, *where, attributes.field_selector, attributes.label_selector)))


def _selected(requirements: list[Object]) -> Object:
    return {"requirements": requirements} if requirements else {}


def field_requirements(text: str) -> list[Object]:
    """A field selector as a review spells it."""
    try:
        terms = fields.parse_selector(text).terms if text else ()
    except ValueError:
        return []  # what is no selector limits nothing
    return [{"key": each.field, "operator": _OPERATORS[each.operator], "values": [each.value]} for each in terms]


def label_requirements(text: str) -> list[Object]:
    """A label selector as a review spells it."""
    try:
        found = labels.parse_selector(text).requirements if text else ()
    except ValueError:
        return []
    return [
        {"key": each.key, "operator": _OPERATORS[each.operator], **({"values": [*each.values]} if each.values else {})}
        for each in found
        if each.operator in _OPERATORS
    ]
