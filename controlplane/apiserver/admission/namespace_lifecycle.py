"""NamespaceLifecycle: nothing new in a namespace that is not there, or that is ending."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.matching import REVIEWS
from controlplane.apiserver.registry.store import ObjectStore

LIVE_SECONDS = 30.0
"""For which the store itself is asked about a namespace whose deletion came by this server (forceLiveLookupTTL)."""


class NamespaceLifecycle(Plugin):
    """plugin/pkg/admission/namespace/lifecycle. `monotonic`: seconds of a clock that never jumps.

    What the lookup knows may be a moment old, which the namespace's controller makes good; a client that has deleted a
    namespace is not told of it as if it were alive.
    """

    name = "NamespaceLifecycle"

    def __init__(self, namespaces: Lookup, store: ObjectStore, monotonic: Callable[[], float]) -> None:
        self._namespaces, self._store, self._monotonic = namespaces, store, monotonic
        self._deleted: dict[str, float] = {}

    async def validate(self, review: Review) -> None:
        if review.operation == "DELETE" and review.is_for("", "namespaces"):
            now = self._monotonic()
            self._deleted = {name: until for name, until in self._deleted.items() if until > now}
            self._deleted[review.name] = now + LIVE_SECONDS

    async def mutate(self, review: Review) -> None:
        call = review.call
        if review.operation != "CREATE" or not call.resource.namespaced or call.resource.group in REVIEWS:
            return
        asked = self._store if self._deleted.get(call.namespace, 0.0) > self._monotonic() else self._namespaces
        found = await asked.find("", call.namespace)
        if found is None:
            raise status.not_found(self._store.resource, call.namespace)
        if found["metadata"].get("deletionTimestamp") or (found.get("status") or {}).get("phase") == "Terminating":
            error = review.forbidden(
                f"unable to create new content in namespace {call.namespace} because it is being terminated"
            )
            causes = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {call.namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise status.ApiError(error.code, error.reason, error.message, {**(error.details or {}), "causes": causes})
