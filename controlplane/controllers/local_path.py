"""A dynamic provisioner of node directories, so that a claim in a lab gets a volume (rancher/local-path-provisioner).

Everything it knows is in the API: a claim's helper pod, then its volume. It may be killed anywhere and goes on.
"""

from __future__ import annotations

import json
from typing import Any

from apimachinery.api.catalogue import NODES, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, STORAGECLASSES
from apimachinery.client.provisioning import create_volume, forget_volume
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods, volumes
from apimachinery.meta.provisioning import is_retained, volume_name
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found
from controlplane.controllers import local_path_plan as plan
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "local-path-provisioner-controller"
HELPER_TIMEOUT = 120.0  # seconds that a helper pod may take
RETRY = 15.0  # seconds before a helper that failed is started again
_CLAIM, _VOLUME = "claim:", "volume:"
_BY_CLAIM = "local-path-claim"


class LocalPathProvisioner:
    """Reconciles claims that ask for a directory, and volumes whose directory is to go."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        claims, all_volumes = context.informer(PERSISTENTVOLUMECLAIMS), context.informer(PERSISTENTVOLUMES)
        classes, all_nodes, all_pods = (context.informer(kind) for kind in (STORAGECLASSES, NODES, PODS))
        self._claims, self._volumes, self._classes = claims.lister, all_volumes.lister, classes.lister
        self._nodes, self._pods = all_nodes.lister, all_pods.lister
        self._pods.add_index(_BY_CLAIM, _made_for)
        self._recorder = context.recorder(plan.PROVISIONER)
        self._started: dict[str, float] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=4)
        claims.add_handler(self._claim_changed, on_delete=self._claim_gone)
        all_volumes.add_handler(self._volume_changed)
        all_pods.add_handler(self._pod_changed, lambda _, new: self._pod_changed(new), self._pod_changed)

    def recall(self, other: LocalPathProvisioner) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._started = dict(other._started)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Take the next step for a claim or a volume."""
        if key.startswith(_CLAIM):
            claim = self._claims.get_by_key(key.removeprefix(_CLAIM))
            await self._finish_abandoned(key.removeprefix(_CLAIM), claim)
            return await self._provision(claim) if claim is not None and plan.is_ours(claim) else None
        volume = self._volumes.get_by_key(key.removeprefix(_VOLUME))
        return await self._delete(volume) if volume is not None and plan.is_to_be_deleted(volume) else None

    async def _finish_abandoned(self, key: str, claim: Object | None) -> None:
        """A directory that was made for a claim which went meanwhile becomes a volume, to be reclaimed as any other."""
        for helper in self._pods.by_index(_BY_CLAIM, key):
            name = objects.name(helper).removeprefix(plan.CREATE)
            if claim is not None and volume_name(claim) == name:
                if not plan.is_ours(claim):
                    await self._remove_helper(objects.name(helper))
            elif pods.is_terminal(helper):
                await create_volume(self._client, json.loads(objects.annotations(helper)[plan.VOLUME_ANNOTATION]))
                await self._remove_helper(objects.name(helper))

    async def _provision(self, claim: Object) -> float | None:
        name = volume_name(claim)
        if self._volumes.get(name) is not None:
            await self._remove_helper(plan.CREATE + name)
            return None
        storage_class = self._classes.get(volumes.class_name(claim))
        if storage_class is None or storage_class.get("provisioner") != plan.PROVISIONER:
            return None
        text = f'failed to provision volume with StorageClass "{objects.name(storage_class)}": '
        try:
            plan.check(claim, storage_class)
        except plan.Refusal as error:
            self._recorder.event(claim, "Warning", "ProvisioningFailed", text + str(error))
            return RETRY
        node = self._nodes.get(objects.annotations(claim)[volumes.SELECTED_NODE])
        if node is None:
            await self._reschedule(claim)
            return None
        volume = plan.render_volume(claim, storage_class, node)
        creator = plan.render_creator(claim, volume, objects.name(node))
        done = await self._run_helper(creator)
        if done is None:
            if plan.CREATE + name not in self._started:
                said = f'External provisioner is provisioning volume for claim "{objects.key(claim)}"'
                self._recorder.event(claim, "Normal", "Provisioning", said)
            return self._left(creator)
        if not done:
            failed = f"failed to create volume {name}: helper pod {objects.name(creator)} did not succeed"
            self._recorder.event(claim, "Warning", "ProvisioningFailed", text + failed)
            return RETRY
        await create_volume(self._client, volume)
        self._recorder.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        await self._remove_helper(objects.name(creator))
        return None

    async def _reschedule(self, claim: Object) -> None:
        """The chosen node is gone: let the scheduler choose anew."""
        annotations = {key: text for key, text in objects.annotations(claim).items() if key != volumes.SELECTED_NODE}
        body = {**claim, "metadata": {**claim["metadata"], "annotations": annotations}}
        await self._client.update(PERSISTENTVOLUMECLAIMS, body)

    async def _delete(self, volume: Object) -> float | None:
        name, chosen = objects.name(volume), objects.annotations(volume).get(volumes.SELECTED_NODE, "")
        # Of a node that is gone nothing is left to be removed.
        if self._nodes.get(chosen) is not None and not is_retained(volume):
            remover = plan.render_remover(volume, chosen)
            done = await self._run_helper(remover)
            if done is None:
                return self._left(remover)
            if not done:
                text = f"failed to delete volume {name}: helper pod {objects.name(remover)} did not succeed"
                self._recorder.event(volume, "Warning", "VolumeFailedDelete", text)
                return RETRY
        await forget_volume(self._client, volume)
        await self._remove_helper(plan.DELETE + name)
        return None

    async def _run_helper(self, helper: Object) -> bool | None:
        """Whether the helper pod succeeded; None while it runs. One that failed or hangs is taken away."""
        name = objects.name(helper)
        current = self._pods.get(name, plan.HELPERS_NAMESPACE)
        if current is None:
            try:
                await self._client.create(PODS, helper)
            except ApiError as error:
                if not is_already_exists(error):
                    raise
            return None
        if objects.is_deleting(current):
            return None
        if pods.phase(current) == "Succeeded":
            return True
        since = self._started.setdefault(name, self._clock.monotonic())
        if pods.phase(current) == "Failed" or self._clock.monotonic() - since > HELPER_TIMEOUT:
            await self._remove_helper(name)
            return False
        return None

    def _left(self, helper: Object) -> float:
        """Seconds until the helper is overdue; its changes wake us before."""
        since = self._started.setdefault(objects.name(helper), self._clock.monotonic())
        return max(0.0, since + HELPER_TIMEOUT - self._clock.monotonic()) + 1.0

    async def _remove_helper(self, name: str) -> None:
        self._started.pop(name, None)
        if self._pods.get(name, plan.HELPERS_NAMESPACE) is None:
            return
        try:
            await self._client.delete(PODS, name, plan.HELPERS_NAMESPACE, grace_period=0)
        except ApiError as error:
            if not is_not_found(error):
                raise

    def _claim_changed(self, claim: Object) -> None:
        if plan.is_ours(claim):
            self._queue.add(_CLAIM + objects.key(claim))

    def _claim_gone(self, claim: Object) -> None:
        self._queue.add(_CLAIM + objects.key(claim))

    def _volume_changed(self, volume: Object) -> None:
        if plan.is_to_be_deleted(volume):
            self._queue.add(_VOLUME + objects.name(volume))

    def _pod_changed(self, pod: Object) -> None:
        if objects.namespace(pod) != plan.HELPERS_NAMESPACE:
            return
        name = objects.name(pod)
        for key in _made_for(pod):
            self._queue.add(_CLAIM + key)
        if name.startswith(plan.DELETE):
            self._queue.add(_VOLUME + name.removeprefix(plan.DELETE))


def _made_for(pod: Object) -> list[str]:
    """The claim for which a helper pod makes a directory."""
    ours = objects.namespace(pod) == plan.HELPERS_NAMESPACE and objects.name(pod).startswith(plan.CREATE)
    key = objects.annotations(pod).get(plan.CLAIM_ANNOTATION) if ours else None
    return [key] if key else []
