"""From a pod's volume to the PersistentVolume behind its claim (desired_state_of_world_populator.go)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import NODES, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta import objects, volumes
from apimachinery.meta.status import ApiError
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

Object = dict[str, Any]


class ProcessProblem(Exception):
    """The volume cannot be looked up: it counts as "failed to process". The text is upstream's."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A volume that stands on a claim. claim: its name. read_only: as the pod asks."""

    claim: str
    volume: Object
    read_only: bool


class ClaimReader:
    """Asks the API: a node may read the claims of its pods and the volumes bound to them, no more."""

    def __init__(self, client: Client | None, node: str) -> None:
        self.client, self.node = client, node

    async def resolve(self, pod: Pod, volume: Mapping[str, Any], claim_name: str, ephemeral: bool) -> Resolved:
        """The volume behind a claim. Raises ProcessProblem."""
        namespace = pod["metadata"]["namespace"]
        whose = f"error processing PVC {namespace}/{claim_name}"
        try:
            claim = await self._claim(namespace, claim_name)
        except ProcessProblem as error:
            raise ProcessProblem(f"{whose}: {error}") from error
        if ephemeral and (problem := volumes.check_ephemeral(pod, claim)):
            raise ProcessProblem(problem)
        try:
            found = await self._volume(claim)
        except ProcessProblem as error:
            raise ProcessProblem(f"{whose}: {error}") from error
        name, (mounted, mapped) = volume["name"], pods.used_volumes(pod)
        if volumes.mode(found) == "Block" and name in mounted:
            raise ProcessProblem(f"volume {name} has volumeMode Block, but is specified in volumeMounts")
        if volumes.mode(found) == "Filesystem" and name in mapped:
            raise ProcessProblem(f"volume {name} has volumeMode Filesystem, but is specified in volumeDevices")
        read_only = bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
        return Resolved(claim_name, found, read_only)

    async def _claim(self, namespace: str, name: str) -> Object:
        if self.client is None:
            raise ProcessProblem("failed to fetch PVC from API server: this kubelet has no API server")
        try:
            claim = await self.client.get(PERSISTENTVOLUMECLAIMS, name, namespace)
        except (ApiError, ApiUnreachable) as error:
            raise ProcessProblem(f"failed to fetch PVC from API server: {error}") from error
        if objects.is_deleting(claim):
            raise ProcessProblem("PVC is being deleted")
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise ProcessProblem("PVC is not bound")
        if not claim["spec"].get("volumeName"):
            raise ProcessProblem("PVC has empty pvc.Spec.VolumeName")
        return claim

    async def _volume(self, claim: Object) -> Object:
        assert self.client is not None
        named = claim["spec"]["volumeName"]
        try:
            volume = await self.client.get(PERSISTENTVOLUMES, named)
        except (ApiError, ApiUnreachable) as error:
            raise ProcessProblem(f"failed to fetch PV {named} from API server: {error}") from error
        reference = volume["spec"].get("claimRef")
        if not reference:
            raise ProcessProblem(
                f"found PV object {named} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
            )
        if reference.get("uid") != objects.uid(claim):
            raise ProcessProblem(
                f"found PV object {named} but its pv.Spec.ClaimRef.UID {reference.get('uid')} does not point to "
                f"claim.UID {objects.uid(claim)}"
            )
        return volume

    async def check_node(self, volume: Object) -> str:
        """Why this node cannot reach the volume; empty when it can. Raises ApiError, ApiUnreachable."""
        if not volume["spec"].get("nodeAffinity") or self.client is None:
            return ""
        node = await self.client.get(NODES, self.node)
        return "" if volumes.reaches(volume, objects.labels(node)) else "no matching NodeSelectorTerms"
