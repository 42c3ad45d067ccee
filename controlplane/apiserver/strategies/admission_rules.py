"""Webhook configurations and admission policies: their CEL expressions compile, or they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta.paths import Problem
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy

_EXPRESSIONS = ("matchConditions", "validations", "auditAnnotations", "variables")


class AdmissionPolicyStrategy(Strategy):
    """`validatingadmissionpolicies`."""

    def validate_create(self, call: Call, obj: Object) -> list[Problem]:
        return [*super().validate_create(call, obj), *_policy(obj)]

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        found = super().validate_update(call, new, old)
        unchanged = call.subresource or new.get("spec") == old.get("spec")
        return found if unchanged else [*found, *_policy(new)]


class WebhookConfigurationStrategy(Strategy):
    """`mutatingwebhookconfigurations`, `validatingwebhookconfigurations`."""

    def validate_create(self, call: Call, obj: Object) -> list[Problem]:
        return [*super().validate_create(call, obj), *_webhooks(obj)]

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        found = super().validate_update(call, new, old)
        return found if new.get("webhooks") == old.get("webhooks") else [*found, *_webhooks(new)]


def _policy(obj: Mapping[str, Any]) -> list[Problem]:
    if not any((obj.get("spec") or {}).get(field) for field in _EXPRESSIONS):
        return []
    from controlplane.apiserver.admission.policies.checks import policy_problems  # CEL, for whom has expressions

    return policy_problems(obj)


def _webhooks(obj: Mapping[str, Any]) -> list[Problem]:
    if not any(hook.get("matchConditions") for hook in obj.get("webhooks") or ()):
        return []
    from controlplane.apiserver.admission.policies.checks import webhook_problems

    return webhook_problems(obj)
