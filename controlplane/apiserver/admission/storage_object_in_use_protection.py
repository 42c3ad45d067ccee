"""StorageObjectInUseProtection: volumes and claims stay until nobody uses them, by a finalizer."""

from __future__ import annotations

from controlplane.apiserver.admission.chain import Plugin, Review

_FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
}


class StorageObjectInUseProtection(Plugin):
    """plugin/pkg/admission/storage/storageobjectinuseprotection."""

    name = "StorageObjectInUseProtection"
    about = frozenset(("", plural) for plural in _FINALIZERS)

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or review.call.subresource:
            return
        assert review.new is not None
        meta, finalizer = review.new["metadata"], _FINALIZERS[review.resource.plural]
        if finalizer not in (meta.get("finalizers") or ()):
            meta["finalizers"] = [*(meta.get("finalizers") or ()), finalizer]
            review.tell(f"+metadata.finalizers[{finalizer}]")
