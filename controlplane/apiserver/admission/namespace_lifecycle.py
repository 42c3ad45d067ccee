"""NamespaceLifecycle: nothing new in a namespace that is not there, or that is ending."""

from __future__ import annotations

from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.registry.store import ObjectStore


class NamespaceLifecycle(Plugin):
    """plugin/pkg/admission/namespace/lifecycle."""

    name = "NamespaceLifecycle"

    def __init__(self, namespaces: ObjectStore) -> None:
        self._namespaces = namespaces

    async def mutate(self, review: Review) -> None:
        call = review.call
        if review.operation != "CREATE" or not call.resource.namespaced:
            return
        found = await self._namespaces.find("", call.namespace)
        if found is None:
            raise status.not_found(self._namespaces.resource, call.namespace)
        if found["metadata"].get("deletionTimestamp") or (found.get("status") or {}).get("phase") == "Terminating":
            name = (review.new or {}).get("metadata", {}).get("name", "")
            sentence = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            error = status.forbidden(call.resource, name, sentence)
            causes = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {call.namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise status.ApiError(error.code, error.reason, error.message, {**(error.details or {}), "causes": causes})
