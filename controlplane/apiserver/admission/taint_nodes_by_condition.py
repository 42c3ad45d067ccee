"""TaintNodesByCondition: a new node is not ready until the node controller says so."""

from __future__ import annotations

from apimachinery.meta import taints
from controlplane.apiserver.admission.chain import Plugin, Review


class TaintNodesByCondition(Plugin):
    """plugin/pkg/admission/nodetaint."""

    name = "TaintNodesByCondition"
    about = frozenset({("", "nodes")})

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("", "nodes"):
            return
        assert review.new is not None
        spec = review.new.setdefault("spec", {})
        wanted = {"key": taints.NOT_READY, "effect": taints.NO_SCHEDULE}
        if not any(taints.same(each, wanted) for each in spec.get("taints") or []):
            spec["taints"] = [*(spec.get("taints") or []), wanted]
            review.tell(f"+spec.taints[{taints.NOT_READY}]")
