"""AlwaysAdmit and AlwaysDeny: deprecated upstream, and still how people try out what a refusal looks like."""

from __future__ import annotations

from controlplane.apiserver.admission.chain import Plugin, Review


class AlwaysAdmit(Plugin):
    """plugin/pkg/admission/admit."""

    name = "AlwaysAdmit"


class AlwaysDeny(Plugin):
    """plugin/pkg/admission/deny."""

    name = "AlwaysDeny"

    async def mutate(self, review: Review) -> None:
        raise review.forbidden("admission control is denying all modifications")

    async def validate(self, review: Review) -> None:
        raise review.forbidden("admission control is denying all modifications")
