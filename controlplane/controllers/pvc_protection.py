"""Claims in use are not deleted under their pods (pkg/controller/volume/pvcprotection)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PODS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.claim_users import BY_CLAIM, claim_keys, claims_and_users
from controlplane.controllers.context import Context
from controlplane.controllers.protection_plan import (
    PVC_PROTECTION,
    is_candidate,
    is_shut_down,
    needs_finalizer,
    plan_finalizers,
    uses_claim,
)

Object = dict[str, Any]

NAME = "persistentvolumeclaim-protection-controller"


class ClaimProtection:
    """Reconciles claims that are being deleted, or have no finalizer."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        claims, all_pods = claims_and_users(context)
        self._claims, self._pods = claims.lister, all_pods.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        claims.add_handler(self._claim_changed)
        all_pods.add_handler(self._pod_changed, on_delete=self._release)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Give the claim its finalizer, or take it when no pod holds the claim."""
        claim = self._claims.get_by_key(key)
        if claim is None:
            return None
        used = is_candidate(claim, PVC_PROTECTION) and await self._is_used(claim)
        finalizers = plan_finalizers(claim, PVC_PROTECTION, used=used)
        if finalizers is not None:
            body = {**claim, "metadata": {**claim["metadata"], "finalizers": finalizers}}
            try:
                await self._client.update(PERSISTENTVOLUMECLAIMS, body)
            except ApiError as error:
                if not is_not_found(error):
                    raise
        return None

    async def _is_used(self, claim: Object) -> bool:
        if any(uses_claim(pod, claim) for pod in self._pods.by_index(BY_CLAIM, objects.key(claim))):
            return True
        # A pod that was bound a moment ago may not be in the lister yet: only the API itself can say no.
        listed = await self._client.list(PODS, objects.namespace(claim))
        return any(uses_claim(pod, claim) for pod in listed["items"])

    def _claim_changed(self, claim: Object) -> None:
        if needs_finalizer(claim, PVC_PROTECTION) or is_candidate(claim, PVC_PROTECTION):
            self._queue.add(objects.key(claim))

    def _pod_changed(self, pod: Object) -> None:
        if pods.is_terminal(pod) or is_shut_down(pod) or not pods.node_name(pod):
            self._release(pod)

    def _release(self, pod: Object) -> None:
        for key in claim_keys(pod):
            claim = self._claims.get_by_key(key)
            if claim is not None and is_candidate(claim, PVC_PROTECTION):
                self._queue.add(key)
