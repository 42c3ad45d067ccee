"""The authorizers of --authorization-mode, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery.meta import status
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.authz.attributes import Attributes, Authorizer, Decision, denial


class AlwaysAllow:
    """--authorization-mode=AlwaysAllow."""

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.ALLOW, ""


class AlwaysDeny:
    """--authorization-mode=AlwaysDeny."""

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.DENY, "Everything is forbidden."


class Union:
    """The first opinion counts; system:masters may do everything, whatever is stored."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = authorizers

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """The decision with its reason; NO_OPINION when nobody had one."""
        if MASTERS in attributes.user.groups:
            return Decision.ALLOW, ""
        reasons = []
        for authorizer in self._authorizers:
            decision, reason = await authorizer.authorize(attributes)
            if decision is not Decision.NO_OPINION:
                return decision, reason
            if reason:
                reasons.append(reason)
        return Decision.NO_OPINION, ", ".join(reasons)

    async def require(self, attributes: Attributes) -> None:
        """Returns when allowed; raises ApiError 403 with upstream's sentence otherwise."""
        decision, reason = await self.authorize(attributes)
        if decision is not Decision.ALLOW:
            raise refusal(attributes, reason)


def refusal(attributes: Attributes, reason: str) -> status.ApiError:
    """403 with upstream's sentence."""
    resource = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    return status.forbidden(resource or None, attributes.name, denial(attributes, reason))
