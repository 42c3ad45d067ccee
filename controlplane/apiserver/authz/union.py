"""Those who decide, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec import Struct

from apimachinery.kit.quick_metrics import QuickCounter
from apimachinery.meta import status
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.authz.attributes import Attributes, Authorizer, Decision, EvaluationError, denial

log = logging.getLogger(__name__)

_DECISIONS = QuickCounter(
    "apiserver_authorization_decisions_total",
    "Decisions that were the last word, by who made them",
    ["type", "name", "decision"],
)


class Named(Struct, frozen=True):
    """An authorizer, and what the metrics call it."""

    type: str
    name: str
    authorizer: Authorizer


class AlwaysAllow:
    """--authorization-mode=AlwaysAllow."""

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.ALLOW, ""


class AlwaysDeny:
    """--authorization-mode=AlwaysDeny."""

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.NO_OPINION, "Everything is forbidden."


class Union:
    """The first opinion counts; system:masters may do everything, whatever is stored."""

    def __init__(self, authorizers: Sequence[Named]) -> None:
        self.authorizers = authorizers
        """May be replaced at any time; a question that is being answered goes on with the old ones."""

    async def evaluate(self, attributes: Attributes) -> tuple[Decision, str]:
        """The decision with its reason; NO_OPINION when nobody had one. Raises EvaluationError when nobody had one, and
        one of them could not decide."""
        if MASTERS in attributes.user.groups:
            return Decision.ALLOW, ""
        reasons, errors = [], []
        for each in self.authorizers:
            try:
                decision, reason = await each.authorizer.authorize(attributes)
            except EvaluationError as error:
                log.error("failed to make an authorization decision: %s", error)
                if error.denied:
                    _DECISIONS.labels(each.type, each.name, "denied").inc()
                    raise
                errors.append(str(error))
                continue
            if decision is not Decision.NO_OPINION:
                _DECISIONS.labels(each.type, each.name, "allowed" if decision is Decision.ALLOW else "denied").inc()
                return decision, reason
            if reason:
                reasons.append(reason)
        if errors:
            raise EvaluationError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
        return Decision.NO_OPINION, "\n".join(reasons)

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """As `evaluate`, for those who were asked for something else: raises ApiError 500 when nobody could decide."""
        try:
            return await self.evaluate(attributes)
        except EvaluationError as error:
            raise status.internal(str(error)) from None

    async def require(self, attributes: Attributes) -> None:
        """Returns when allowed; raises ApiError 403 with upstream's sentence otherwise, 500 if nobody could decide."""
        decision, reason = await self.authorize(attributes)
        if decision is not Decision.ALLOW:
            raise refusal(attributes, reason)


def refusal(attributes: Attributes, reason: str) -> status.ApiError:
    """403 with upstream's sentence."""
    resource = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    error = status.forbidden(resource or None, attributes.name, denial(attributes, reason))
    return status.Denied(error.code, error.reason, error.message, error.details)
