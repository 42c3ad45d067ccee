"""Priority: a pod's priority is what its class says; one class may be the default."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PRIORITYCLASSES
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.registry.store import ObjectStore

SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
HIGHEST_USER = 1_000_000_000


class Priority(Plugin):
    """plugin/pkg/admission/priority."""

    name = "Priority"
    about = frozenset({("", "pods"), (PRIORITYCLASSES.group, PRIORITYCLASSES.plural)})

    def __init__(self, classes: Lookup, store: ObjectStore) -> None:
        self._classes, self._store = classes, store

    async def mutate(self, review: Review) -> None:
        if not review.is_for("", "pods") or review.new is None:
            return
        spec = review.new["spec"]
        if review.operation == "UPDATE":
            before = (review.old or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if field not in spec and field in before:
                    _set(review, spec, field, before[field])
            return
        if review.operation != "CREATE":
            return
        found = await self._class(review, spec.get("priorityClassName") or "")
        value = (found or {}).get("value") or 0
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("priority") not in (None, value):
            detail = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority "
                f"admission controller computed {value} from the given PriorityClass name"
            )
            raise review.forbidden(detail)
        if found is not None:
            _set(review, spec, "priorityClassName", found["metadata"]["name"])
        _set(review, spec, "priority", value)
        if spec.get("preemptionPolicy") not in (None, "", policy):
            detail = (
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name"
            )
            raise review.forbidden(detail)
        _set(review, spec, "preemptionPolicy", policy)

    async def validate(self, review: Review) -> None:
        if not review.is_for(PRIORITYCLASSES.group, PRIORITYCLASSES.plural):
            return
        if review.operation not in ("CREATE", "UPDATE") or review.new is None or not review.new.get("globalDefault"):
            return
        for other in await self._store.all():
            name = other["metadata"]["name"]
            if other.get("globalDefault") and name != review.name:
                raise review.forbidden(f"PriorityClass {name} is already marked as default. Only one default can exist")

    async def _class(self, review: Review, name: str) -> dict[str, Any] | None:
        if name:
            found = await self._classes.find("", name)
            if found is None:
                raise review.forbidden(f"no PriorityClass with name {name} was found")
            return found
        await self._classes.ready(review)
        defaults = [each for each in self._classes.all() if each.get("globalDefault")]
        return min(defaults, key=lambda each: int(each.get("value") or 0), default=None)


def _set(review: Review, spec: dict[str, Any], field: str, value: object) -> None:
    if spec.get(field) != value:
        review.tell(f"spec.{field}: {value}")
    spec[field] = value
