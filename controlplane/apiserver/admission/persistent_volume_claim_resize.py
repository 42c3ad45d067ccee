"""PersistentVolumeClaimResize: only a bound claim grows, and only where its class allows it."""

from __future__ import annotations

from typing import Any

from apimachinery.meta import quantity
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup

Object = dict[str, Any]

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize(Plugin):
    """plugin/pkg/admission/storage/persistentvolume/resize."""

    name = "PersistentVolumeClaimResize"
    about = frozenset({("", "persistentvolumeclaims")})

    def __init__(self, classes: Lookup) -> None:
        self._classes = classes

    async def validate(self, review: Review) -> None:
        if review.operation != "UPDATE" or not review.is_for("", "persistentvolumeclaims"):
            return
        assert review.new is not None and review.old is not None
        if _size(review.new) <= _size(review.old):
            return
        if (review.old.get("status") or {}).get("phase") != "Bound":
            raise review.forbidden("Only bound persistent volume claims can be expanded")
        name = _class(review.new)
        found = await self._classes.find("", name) if name and name == _class(review.old) else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise review.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize"
            )


def _size(claim: Object) -> quantity.Quantity:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage", "0"))


def _class(claim: Object) -> str:
    annotations = claim["metadata"].get("annotations") or {}
    return str(annotations.get(_BETA_CLASS, (claim.get("spec") or {}).get("storageClassName")) or "")
