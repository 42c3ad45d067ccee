"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable."""

from __future__ import annotations

from apimachinery.meta import taints
from controlplane.apiserver.admission.chain import Plugin, Review

SECONDS = 300
"""The default of --default-not-ready-toleration-seconds and --default-unreachable-toleration-seconds."""


class DefaultTolerationSeconds(Plugin):
    """plugin/pkg/admission/defaulttolerationseconds. `not_ready`, `unreachable`: seconds."""

    name = "DefaultTolerationSeconds"
    about = frozenset({("", "pods")})

    def __init__(self, not_ready: int = SECONDS, unreachable: int = SECONDS) -> None:
        self._seconds = {taints.NOT_READY: not_ready, taints.UNREACHABLE: unreachable}

    async def mutate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or not review.is_for("", "pods"):
            return
        assert review.new is not None
        spec = review.new["spec"]
        tolerations = spec.get("tolerations") or []
        missing = [
            key
            for key in self._seconds
            if not any(
                (each.get("key") or key) == key and (each.get("effect") or taints.NO_EXECUTE) == taints.NO_EXECUTE
                for each in tolerations
            )
        ]
        if missing:
            spec["tolerations"] = [
                *tolerations,
                *(
                    {
                        "key": key,
                        "operator": "Exists",
                        "effect": taints.NO_EXECUTE,
                        "tolerationSeconds": self._seconds[key],
                    }
                    for key in missing
                ),
            ]
            review.tell(*(f"+spec.tolerations[{key}]" for key in missing))
