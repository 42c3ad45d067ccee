"""RuntimeClass: a pod's overhead is its class's, and it goes where the class runs (KEP-688)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.quota.amounts import parse
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.tolerations import differences, merged

Object = dict[str, Any]

_OTHER = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class RuntimeClass(Plugin):
    """plugin/pkg/admission/runtimeclass."""

    name = "RuntimeClass"
    about = frozenset({("", "pods")})

    def __init__(self, classes: Lookup) -> None:
        self._classes = classes

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("", "pods"):
            return
        assert review.new is not None
        spec, found = review.new["spec"], await self._class(review)
        if found is None:
            return
        fixed = (found.get("overhead") or {}).get("podFixed")
        if found.get("overhead") is not None:
            if spec.get("overhead") is not None and parse(spec["overhead"]) != parse(fixed):
                raise review.forbidden(_OTHER)
            given = spec.get("overhead") or {}
            spec["overhead"] = dict(fixed or {})
            review.tell(*(f"spec.overhead.{k}: {v}" for k, v in spec["overhead"].items() if given.get(k) != v))
        scheduling = found.get("scheduling")
        if scheduling is not None:
            selector = dict(spec.get("nodeSelector") or {})
            for key, value in (scheduling.get("nodeSelector") or {}).items():
                if key not in selector:
                    review.tell(f"spec.nodeSelector[{key}]: {value}")
                if selector.setdefault(key, value) != value:
                    raise review.forbidden(
                        f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                        f"pod.spec.nodeSelector[{key}] = {selector[key]}"
                    )
            if selector:
                spec["nodeSelector"] = selector
            if tolerations := merged(spec.get("tolerations") or (), scheduling.get("tolerations") or ()):
                review.tell(*differences(spec.get("tolerations") or (), tolerations))
                spec["tolerations"] = tolerations

    async def validate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("", "pods"):
            return
        assert review.new is not None
        overhead, found = review.new["spec"].get("overhead"), await self._class(review)
        if found is not None and found.get("overhead") is not None:
            if parse(overhead) != parse(found["overhead"].get("podFixed")):
                raise review.forbidden(_OTHER)
        elif overhead:
            raise review.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")

    async def _class(self, review: Review) -> Object | None:
        name = (review.new or {})["spec"].get("runtimeClassName")
        if name is None:
            return None
        found = await self._classes.find("", name)
        if found is None:
            raise review.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
        return found
