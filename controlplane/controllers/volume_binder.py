"""Volumes and claims are bound to each other, released and reclaimed (pkg/controller/volume/persistentvolume).

One worker takes volumes and claims in turn: who looks for a volume must see what the last one took.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES
from apimachinery.cache.overlay import Overlay
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods, volumes
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.claim_users import BY_CLAIM, claims_and_users
from controlplane.controllers.context import Context
from controlplane.controllers.volume_binder_plan import (
    ClaimPlan,
    Said,
    compute_claim_status,
    plan_bound,
    plan_named,
    plan_reclaim,
    plan_unbound,
    plan_volume,
    render_bound_claim,
    render_unbound,
)

Object = dict[str, Any]

NAME = "persistentvolume-binder-controller"
RESYNC = 15.0  # seconds between two looks at a claim that waits (PVClaimBinderSyncPeriod)
_CLAIM, _VOLUME = "claim:", "volume:"
_BY_CLASS, _BY_REFERENCE, _WAITING = "class", "claim-ref", "waiting"


class VolumeBinder:
    """Reconciles claims and volumes. Keys are `claim:namespace/name` and `volume:name`."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._provisioning = context.client, context.config.dynamic_provisioning
        claims, all_pods = claims_and_users(context)
        all_volumes, classes = context.informer(PERSISTENTVOLUMES), context.informer(STORAGECLASSES)
        self._claims, self._volumes = Overlay(claims), Overlay(all_volumes)
        self._claim_lister, self._volume_lister = claims.lister, all_volumes.lister
        self._classes, self._pods = classes.lister, all_pods.lister
        self._volume_lister.add_index(_BY_CLASS, lambda volume: (volumes.class_name(volume),))
        self._volume_lister.add_index(_BY_REFERENCE, _referred)
        self._claim_lister.add_index(_WAITING, lambda claim: ("",) if _waits(claim) else ())
        self._recorder = context.recorder("persistentvolume-controller")
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        claims.add_handler(self._claim_changed, on_delete=self._claim_gone)
        all_volumes.add_handler(self._volume_changed, on_delete=self._volume_gone)
        classes.add_handler(lambda _: self._wake_waiting())

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Bind, release or reclaim one claim or volume."""
        if key.startswith(_CLAIM):
            claim = self._claims.get(key.removeprefix(_CLAIM))
            return await self._sync_claim(claim) if claim is not None else None
        volume = self._volumes.get(key.removeprefix(_VOLUME))
        if volume is not None:
            await self._sync_volume(volume)
        return None

    async def _sync_claim(self, claim: Object) -> float | None:
        plan = self._plan(claim)
        if plan.bind is not None:
            await self._bind(plan.bind, claim)
            return None
        if plan.default_class:
            body = {**claim, "spec": {**claim["spec"], "storageClassName": plan.default_class}}
            self._claims.put(await self._client.update(PERSISTENTVOLUMECLAIMS, body))
            return 0.0
        if plan.provisioner:
            claim = await self._ask(claim, plan.provisioner)
        changed = False
        if plan.phase:
            changed = plan.phase != (claim.get("status") or {}).get("phase")
            claim = await self._claim_status(claim, plan.phase, None)
        self._say(claim, plan.said, changed)
        return RESYNC if _waits(claim) else None

    def _plan(self, claim: Object) -> ClaimPlan:
        name = claim["spec"].get("volumeName")
        if volumes.BIND_COMPLETED in objects.annotations(claim):
            return plan_bound(claim, self._volumes.get(name) if name else None)
        if name:
            return plan_named(claim, self._volumes.get(name))
        class_name = volumes.class_name(claim)
        candidates = self._volume_lister.by_index(_BY_CLASS, class_name)
        candidates += self._volume_lister.by_index(_BY_REFERENCE, objects.key(claim))
        waiting = sorted(
            objects.name(pod)
            for pod in self._pods.by_index(BY_CLAIM, objects.key(claim))
            if not pods.node_name(pod) and not pods.is_terminal(pod)
        )
        return plan_unbound(
            claim,
            self._volumes.newest(candidates),
            self._classes.get(class_name) if class_name else None,
            volumes.default_class(self._classes.list()) if volumes.has_no_class_said(claim) else None,
            waiting,
            provisioning=self._provisioning,
        )

    async def _bind(self, volume: Object, claim: Object) -> None:
        """The volume first: what is half done is found on it, and finished."""
        bound = volumes.bind_to(volume, claim)
        if bound is not None:
            volume = await self._client.update(PERSISTENTVOLUMES, bound)
            self._volumes.put(volume)
        volume = await self._phase(volume, "Bound")
        taken = render_bound_claim(claim, volume)
        if taken is not None:
            claim = await self._client.update(PERSISTENTVOLUMECLAIMS, taken)
            self._claims.put(claim)
        await self._claim_status(claim, "Bound", volume)

    async def _ask(self, claim: Object, provisioner: str) -> Object:
        asked = {volumes.STORAGE_PROVISIONER: provisioner, volumes.BETA_STORAGE_PROVISIONER: provisioner}
        annotations = objects.annotations(claim)
        if asked.items() <= annotations.items():
            return claim
        body = {**claim, "metadata": {**claim["metadata"], "annotations": {**annotations, **asked}}}
        claim = await self._client.update(PERSISTENTVOLUMECLAIMS, body)
        self._claims.put(claim)
        return claim

    async def _claim_status(self, claim: Object, phase: str, volume: Object | None) -> Object:
        status = compute_claim_status(claim, phase, volume)
        if status != (claim.get("status") or {}):
            claim = await self._client.update(PERSISTENTVOLUMECLAIMS, {**claim, "status": status}, "status")
            self._claims.put(claim)
        return claim

    async def _sync_volume(self, volume: Object) -> None:
        claim = await self._claim_of(volume)
        plan = plan_volume(volume, claim)
        if plan.unbind:
            volume = await self._client.update(PERSISTENTVOLUMES, render_unbound(volume))
            self._volumes.put(volume)
            await self._phase(volume, "Available")
        elif plan.phase:
            volume = await self._phase(volume, plan.phase)
        self._say(volume, plan.said)
        if claim is not None:
            self._say(claim, plan.claim_said)
            if plan.wake:
                self._queue.add(_CLAIM + objects.key(claim))
        if plan.reclaim and (said := plan_reclaim(volume)) is not None:
            changed = (volume.get("status") or {}).get("phase") != "Failed"
            volume = await self._phase(volume, "Failed", said.message)
            self._say(volume, said, changed)

    async def _claim_of(self, volume: Object) -> Object | None:
        """The claim that the volume names. One that our copy lacks is asked for before its data is given up."""
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            return None
        namespace, name = reference.get("namespace", ""), reference.get("name", "")
        claim = self._claims.get(f"{namespace}/{name}")
        if claim is not None and objects.uid(claim) == reference["uid"]:
            return claim
        if (volume.get("status") or {}).get("phase") in ("Released", "Failed"):
            return claim
        try:
            return await self._client.get(PERSISTENTVOLUMECLAIMS, name, namespace)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise

    async def _phase(self, volume: Object, phase: str, message: str = "") -> Object:
        status = volume.get("status") or {}
        if status.get("phase") == phase:
            return volume
        fresh = {key: value for key, value in status.items() if key not in ("message", "lastPhaseTransitionTime")}
        fresh |= {"phase": phase, **({"message": message} if message else {})}
        volume = await self._client.update(PERSISTENTVOLUMES, {**volume, "status": fresh}, "status")
        self._volumes.put(volume)
        if phase == "Available":
            self._wake_waiting()
        return volume

    def _say(self, obj: Object, said: Said | None, changed: bool = True) -> None:
        if said is not None and (changed or not said.once):
            self._recorder.event(obj, said.type, said.reason, said.message)

    def _claim_changed(self, claim: Object) -> None:
        self._queue.add(_CLAIM + objects.key(claim))
        self._wake_volumes(claim)

    def _claim_gone(self, claim: Object) -> None:
        self._wake_volumes(claim)

    def _wake_volumes(self, claim: Object) -> None:
        names = {objects.name(volume) for volume in self._volume_lister.by_index(_BY_REFERENCE, objects.key(claim))}
        if claim["spec"].get("volumeName"):
            names.add(claim["spec"]["volumeName"])
        for name in names:
            self._queue.add(_VOLUME + name)

    def _volume_changed(self, volume: Object) -> None:
        self._queue.add(_VOLUME + objects.name(volume))
        for key in _referred(volume):
            self._queue.add(_CLAIM + key)
        if not volume["spec"].get("claimRef") and (volume.get("status") or {}).get("phase") == "Available":
            self._wake_waiting()

    def _volume_gone(self, volume: Object) -> None:
        for key in _referred(volume):
            self._queue.add(_CLAIM + key)

    def _wake_waiting(self) -> None:
        for claim in self._claim_lister.by_index(_WAITING, ""):
            self._queue.add(_CLAIM + objects.key(claim))


def _waits(claim: Object) -> bool:
    return volumes.BIND_COMPLETED not in objects.annotations(claim)


def _referred(volume: Object) -> Iterable[str]:
    reference = volume["spec"].get("claimRef")
    return (f"{reference.get('namespace', '')}/{reference.get('name', '')}",) if reference else ()
