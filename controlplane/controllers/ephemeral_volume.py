"""The claims of generic ephemeral volumes: made for a pod, owned by it (KEP-1698, pkg/controller/volume/ephemeral)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PODS
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import owner_reference
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, volumes
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.claim_users import BY_CLAIM, claims_and_users
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "ephemeral-volume-controller"
_RETRY = 60.0  # seconds until it is said again that a claim is another owner's


class EphemeralVolumes:
    """Reconciles pods with ephemeral volumes whose claims are not there."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        claims, all_pods = claims_and_users(context)
        self._claims, self._pods = claims.lister, all_pods.lister
        self._recorder = context.recorder("ephemeral_volume")
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        all_pods.add_handler(self._pod_changed, lambda old, new: None)
        claims.add_handler(on_delete=self._claim_gone)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Make the claims that the pod lacks. A claim of another owner is never used: the pod waits, with an event."""
        trimmed = self._pods.get_by_key(key)
        if trimmed is None or objects.is_deleting(trimmed) or not self._lacking(trimmed):
            return None
        # The shared copy of pods does not hold the templates.
        try:
            pod = await self._client.get(PODS, objects.name(trimmed), objects.namespace(trimmed))
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        if objects.uid(pod) != objects.uid(trimmed) or objects.is_deleting(pod):
            return None
        failure: ApiError | None = None
        again: float | None = None
        for volume, name, ephemeral in volumes.pod_claims(pod):
            if not ephemeral:
                continue
            existing = self._claims.get(name, objects.namespace(pod))
            problem = volumes.check_ephemeral(pod, existing) if existing is not None else ""
            try:
                if existing is None:
                    await self._client.create(PERSISTENTVOLUMECLAIMS, render_claim(pod, dict(volume)))
            except ApiError as error:
                problem, failure = f"create PVC {name}: {error.message}", error
            if problem:
                text = f"ephemeral volume {volume['name']}: {problem}"
                self._recorder.event(pod, "Warning", "FailedBinding", text)
                again = _RETRY
        if failure is not None:
            raise failure
        return again

    def _lacking(self, pod: Object) -> bool:
        for _, name, ephemeral in volumes.pod_claims(pod):
            claim = self._claims.get(name, objects.namespace(pod)) if ephemeral else None
            if ephemeral and (claim is None or volumes.check_ephemeral(pod, claim)):
                return True
        return False

    def _pod_changed(self, pod: Object) -> None:
        if any(ephemeral for _, _, ephemeral in volumes.pod_claims(pod)) and not objects.is_deleting(pod):
            self._queue.add(objects.key(pod))

    def _claim_gone(self, claim: Object) -> None:
        for pod in self._pods.by_index(BY_CLAIM, objects.key(claim)):
            self._pod_changed(pod)


def render_claim(pod: Object, volume: Object) -> Object:
    """The claim of one ephemeral volume of a pod. Pure."""
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"{objects.name(pod)}-{volume['name']}",
            "namespace": objects.namespace(pod),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(pod, PODS)],
        },
        "spec": deepcopy(template.get("spec") or {}),
    }
