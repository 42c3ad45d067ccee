"""File systems grow with their disks while pods use them (NodeExpandVolume, KEP-284)."""

from __future__ import annotations

import logging
from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.kit.commands import CommandError
from apimachinery.meta import expansion, volumes
from apimachinery.meta.status import ApiError
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder

from .disks import Disks
from .filesystems import MountProblem

log = logging.getLogger(__name__)

Object = dict[str, Any]

AGAIN = 2.0  # seconds between two looks at a claim, which each pass over its pod asks for
RETRY = 60.0  # seconds after which what did not grow is tried again
_DUE = (expansion.NODE_PENDING, expansion.NODE_IN_PROGRESS)


class Expander:
    """Looks whether a claim waits for its file system to grow. Nobody tells: a node cannot watch claims."""

    def __init__(self, client: Client | None, disks: Disks, recorder: Recorder, clock: Clock, node: str) -> None:
        self._client, self._disks, self._recorder, self._clock, self._node = client, disks, recorder, clock, node
        self._due: dict[tuple[str, str], float] = {}

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._due = {key: due for key, due in self._due.items() if key[0] != uid}

    async def look(self, pod: Pod, claim_name: str) -> None:
        """Grow what waits for it. Never raises for what the API or the disk refuse: the pod goes on as it is."""
        key, now = (pods.uid(pod), claim_name), self._clock.monotonic()
        if self._client is None or now < self._due.get(key, now):
            return
        self._due[key] = now + AGAIN
        try:
            claim = await self._client.get(PERSISTENTVOLUMECLAIMS, claim_name, pod["metadata"]["namespace"])
            if expansion.state(claim) in _DUE:
                volume = await self._client.get(PERSISTENTVOLUMES, claim["spec"]["volumeName"])
                if volumes.is_bound_to(volume, claim):
                    await self._grow(self._client, pod, claim, volume)
        except (ApiError, ApiUnreachable) as error:
            log.warning("Expanding the volume of claim %s: %s", claim_name, error)

    async def _grow(self, client: Client, pod: Pod, claim: Object, volume: Object) -> None:
        name = volume["metadata"]["name"]
        try:
            await self._disks.grow(volume)
        except (MountProblem, CommandError, OSError) as error:
            self._due[(pods.uid(pod), claim["metadata"]["name"])] = self._clock.monotonic() + RETRY
            text = f'MountVolume.NodeExpandVolume failed for volume "{name}" : {error}'
            self._recorder.pod(pod, "Warning", "VolumeResizeFailed", text)
            where, now = expansion.NODE_IN_PROGRESS, self._clock.now()
            status = expansion.failed(claim, where, expansion.NODE_ERROR, str(error), now)
        else:
            text = f'MountVolume.NodeExpandVolume succeeded for volume "{name}" {self._node}'
            self._recorder.pod(pod, "Normal", "FileSystemResizeSuccessful", text)
            status = expansion.done(claim, volume["spec"]["capacity"]["storage"])
        await client.update(PERSISTENTVOLUMECLAIMS, expansion.with_status(claim, status), "status")
