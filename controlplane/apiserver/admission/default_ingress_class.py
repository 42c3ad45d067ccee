"""DefaultIngressClass: an ingress that names no class is given the default one."""

from __future__ import annotations

from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.default_class import default_class
from controlplane.apiserver.admission.lookup import Lookup

_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_OLD_CLASS = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    """plugin/pkg/admission/network/defaultingressclass."""

    name = "DefaultIngressClass"
    about = frozenset({("networking.k8s.io", "ingresses")})

    def __init__(self, classes: Lookup) -> None:
        self._classes = classes

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("networking.k8s.io", "ingresses"):
            return
        ingress = review.new
        assert ingress is not None
        if (ingress.get("spec") or {}).get("ingressClassName") is not None:
            return
        if _OLD_CLASS in (ingress["metadata"].get("annotations") or {}):
            return
        await self._classes.ready(review)
        found = default_class(self._classes.all(), _DEFAULT)
        if found is not None:
            ingress.setdefault("spec", {})["ingressClassName"] = found
            review.tell(f"spec.ingressClassName: {found}")
