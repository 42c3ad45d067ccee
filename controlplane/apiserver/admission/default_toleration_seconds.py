"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable."""

from __future__ import annotations

from apimachinery.meta import taints
from controlplane.apiserver.admission.chain import Plugin, Review

SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    """plugin/pkg/admission/defaulttolerationseconds."""

    name = "DefaultTolerationSeconds"

    async def mutate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or not review.is_for("", "pods"):
            return
        assert review.new is not None
        spec = review.new["spec"]
        tolerations = spec.get("tolerations") or []
        missing = [
            key
            for key in (taints.NOT_READY, taints.UNREACHABLE)
            if not any(
                (each.get("key") or key) == key and (each.get("effect") or taints.NO_EXECUTE) == taints.NO_EXECUTE
                for each in tolerations
            )
        ]
        if missing:
            spec["tolerations"] = [
                *tolerations,
                *(
                    {"key": key, "operator": "Exists", "effect": taints.NO_EXECUTE, "tolerationSeconds": SECONDS}
                    for key in missing
                ),
            ]
