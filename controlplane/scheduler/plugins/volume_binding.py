"""VolumeBinding: a pod goes where its volumes are, or can be; claims that waited for it are bound before it is.

Between the choice of a node and the binding lies the provisioning of volumes, which may take long: it holds up no other
pod, and the choice is taken back when it fails (pkg/scheduler/framework/plugins/volumebinding).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import objects, volumes
from controlplane.scheduler.framework import (
    FITS,
    Change,
    Filter,
    PreBindFailed,
    Verdict,
    What,
    node_facts_changed,
)
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.storage import Storage

from .volume_binding_plan import NodeVolumes, plan_node, sort_claims

Object = dict[str, Any]

TIMEOUT = 600.0  # seconds that binding and provisioning may take (bindTimeoutSeconds)
_LOOK = 1.0  # seconds between two looks at a pod that waits, whatever the watch tells


class VolumeBinding:
    """Filter, and the work before a binding."""

    name = "VolumeBinding"
    judges_alone = False

    def __init__(self, storage: Storage, client: Client, clock: Clock, timeout: float = TIMEOUT) -> None:
        self._storage, self._client, self._clock, self._timeout = storage, client, clock, timeout
        self._reserved: dict[str, NodeVolumes] = {}

    def refuse(self, pod: PodInfo, snapshot: Snapshot) -> Verdict | None:
        """Refuse a pod whose claims are not there or are not bound, whatever the node."""
        if not pod.claims:
            return None
        refusal = sort_claims(pod, self._storage).refusal
        return Verdict(self.name, (refusal,), resolvable=False, whole_pod=True) if refusal else None

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the reach of bound volumes, and by what a node can offer to the claims that wait."""
        if not pod.claims:
            return None
        claims = sort_claims(pod, self._storage)

        def verdict(node: NodeInfo) -> Verdict:
            reasons = plan_node(claims, node, self._storage).reasons
            return Verdict(self.name, reasons, resolvable=False) if reasons else FITS

        return verdict

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """Volumes, classes and drivers help, the pod's own claims, and nodes with other labels."""
        if change.what is What.CLAIM:
            return change.key in pod.claims
        if change.what in (What.VOLUME, What.STORAGE_CLASS, What.CSI):
            return True
        return node_facts_changed(change, lambda node: node.labels)

    def reserve(self, pod: PodInfo, node: NodeInfo) -> bool:
        """Count the chosen volumes as taken. Returns whether there is work to do before the binding."""
        if not pod.claims:
            return False
        plan = plan_node(sort_claims(pod, self._storage), node, self._storage)
        if not plan.static and not plan.provision:
            return False
        for claim, volume in plan.static:
            taken = volumes.bind_to(volume, claim)
            if taken is not None:
                self._storage.volumes.put(taken)
        for claim in plan.provision:
            self._storage.claims.put(_selected(claim, node.name))
        self._reserved[pod.uid] = plan
        return True

    def unreserve(self, pod: PodInfo) -> None:
        """Take back what `reserve` counted and the API does not show."""
        plan = self._reserved.pop(pod.uid, None)
        if plan is None:
            return
        for _, volume in plan.static:
            self._storage.volumes.restore(objects.key(volume))
        for claim in plan.provision:
            self._storage.claims.restore(objects.key(claim))

    async def pre_bind(self, pod: PodInfo, node: NodeInfo, gone: Callable[[], bool]) -> None:
        """Ask for the volumes and wait until they are bound. gone: whether the pod was deleted. Raises PreBindFailed,
        ApiError or ApiUnreachable."""
        plan = self._reserved.get(pod.uid)
        if plan is None:
            return
        await self._ask(plan, node.name)
        waited = [objects.key(claim) for claim, _ in plan.static] + [objects.key(claim) for claim in plan.provision]
        changed, until = asyncio.Event(), self._clock.monotonic() + self._timeout
        for key in waited:
            self._storage.watch_claim(key, changed)
        try:
            while not self._all_bound(plan, node):
                if gone():
                    raise PreBindFailed("binding volumes: pod does not exist any more, so pod won't be bound")
                if self._clock.monotonic() >= until:
                    raise PreBindFailed("binding volumes: context deadline exceeded")
                await self._either(changed)
        finally:
            for key in waited:
                self._storage.unwatch_claim(key, changed)
        self._reserved.pop(pod.uid, None)

    async def _ask(self, plan: NodeVolumes, node: str) -> None:
        for claim, volume in plan.static:
            taken = volumes.bind_to(volume, claim)
            if taken is not None:
                self._storage.volumes.put(await self._client.update(PERSISTENTVOLUMES, taken))
        for claim in plan.provision:
            if objects.annotations(claim).get(volumes.SELECTED_NODE) != node:
                body = _selected(claim, node)
                self._storage.claims.put(await self._client.update(PERSISTENTVOLUMECLAIMS, body))

    def _all_bound(self, plan: NodeVolumes, node: NodeInfo) -> bool:
        """Raises PreBindFailed when a claim cannot be bound near the node any more."""
        for claim, chosen in plan.static:
            volume = self._storage.volumes.get(objects.name(chosen))
            if volume is None or (volume["spec"].get("claimRef") or {}).get("uid") != objects.uid(claim):
                raise PreBindFailed(f'binding volumes: ClaimRef got reset for pv "{objects.name(chosen)}"')
        every = True
        for claim in (*(claim for claim, _ in plan.static), *plan.provision):
            current = self._storage.claims.get(objects.key(claim))
            if current is None or objects.uid(current) != objects.uid(claim):
                missing = f'persistentvolumeclaim "{objects.name(claim)}" not found'
                raise PreBindFailed(f"binding volumes: failed to get pvc: {missing}")
            seen = self._check_reach(current, node)
            if volumes.is_fully_bound(current):
                every = every and seen
                continue
            if claim in plan.provision and objects.annotations(current).get(volumes.SELECTED_NODE) != node.name:
                told = "provisioning failed" if objects.annotations(current) else "selectedNode annotation reset"
                raise PreBindFailed(f'binding volumes: {told} for PVC "{objects.name(claim)}"')
            every = False
        return every

    def _check_reach(self, claim: Object, node: NodeInfo) -> bool:
        """Whether the claim's volume is seen yet; the claim may be told of earlier. Raises PreBindFailed where the node
        does not reach it."""
        name = claim["spec"].get("volumeName") or ""
        volume = self._storage.volumes.get(name)
        if volume is not None and not volumes.reaches(volume, node.labels):
            told = f'pv "{name}" node affinity doesn\'t match node "{node.name}": no matching NodeSelectorTerms'
            raise PreBindFailed(f"binding volumes: {told}")
        return volume is not None

    async def _either(self, changed: asyncio.Event) -> None:
        changed.clear()
        pause = asyncio.ensure_future(self._clock.sleep(_LOOK))
        told = asyncio.ensure_future(changed.wait())
        try:
            await asyncio.wait((pause, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(pause, told)


def _selected(claim: Object, node: str) -> Object:
    annotations = {**objects.annotations(claim), volumes.SELECTED_NODE: node}
    return {**claim, "metadata": {**claim["metadata"], "annotations": annotations}}
