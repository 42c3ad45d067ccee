"""DefaultStorageClass: a claim that names no class is given the default one."""

from __future__ import annotations

from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.default_class import default_class
from controlplane.apiserver.admission.lookup import Lookup

_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass(Plugin):
    """plugin/pkg/admission/storage/storageclass/setdefault."""

    name = "DefaultStorageClass"
    about = frozenset({("", "persistentvolumeclaims")})

    def __init__(self, classes: Lookup) -> None:
        self._classes = classes

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("", "persistentvolumeclaims"):
            return
        claim = review.new
        assert claim is not None
        if _BETA_CLASS in (claim["metadata"].get("annotations") or {}):
            return
        if (claim.get("spec") or {}).get("storageClassName") is not None:
            return  # "" too is a choice: no class at all
        await self._classes.ready(review)
        found = default_class(self._classes.all(), *_DEFAULT)
        if found is not None:
            claim.setdefault("spec", {})["storageClassName"] = found
            review.tell(f"spec.storageClassName: {found}")
