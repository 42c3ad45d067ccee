"""PodTolerationRestriction: a namespace's default tolerations, and the only ones its pods may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from apimachinery.api.catalogue import NAMESPACES
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.tolerations import all_covered, differences, merged

Object = dict[str, Any]

DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_MEMORY_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}


class PodTolerationRestriction(Plugin):
    """plugin/pkg/admission/podtolerationrestriction. `defaults`, `allowed`: for namespaces that say nothing."""

    name = "PodTolerationRestriction"
    about = frozenset({("", "pods")})

    def __init__(self, namespaces: Lookup, defaults: Sequence[Object], allowed: Sequence[Object]) -> None:
        self._namespaces, self._defaults, self._allowed = namespaces, defaults, allowed

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("", "pods"):
            return
        assert review.new is not None
        spec = review.new["spec"]
        more = await self._said(review, DEFAULTS, self._defaults)
        if not _best_effort(spec):
            more = [*more, _MEMORY_PRESSURE]
        if more:
            before = spec.get("tolerations") or ()
            spec["tolerations"] = merged(before, more)
            review.tell(*differences(before, spec["tolerations"]))
        await self.validate(review)

    async def validate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or not review.is_for("", "pods"):
            return
        assert review.new is not None
        mine = review.new["spec"].get("tolerations") or []
        if mine and not all_covered(mine, await self._said(review, ALLOWED, self._allowed)):
            raise review.forbidden(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace "
                "whitelist"
            )

    async def _said(self, review: Review, annotation: str, otherwise: Sequence[Object]) -> Sequence[Object]:
        await self._namespaces.ready(review)
        namespace = await self._namespaces.find("", review.namespace)
        if namespace is None:
            raise status.not_found(NAMESPACES, review.namespace)
        text = (namespace["metadata"].get("annotations") or {}).get(annotation)
        if text is None:
            return otherwise
        try:
            found = orjson.loads(text) if text else []
        except orjson.JSONDecodeError as error:
            raise review.forbidden(str(error)) from None
        return [each for each in found or [] if isinstance(each, dict)] if isinstance(found, list) else []


def _best_effort(spec: Object) -> bool:
    return not any(
        (container.get("resources") or {}).get(section)
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        for section in ("requests", "limits")
    )
