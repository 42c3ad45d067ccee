"""Mirror pods: the API's picture of static pods (pkg/kubelet/pod/mirror_client.go)."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Callable

from apimachinery.api.catalogue import NODES, PODS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta.go_print import quoted
from apimachinery.meta.pods import MIRROR
from apimachinery.meta.status import ApiError, is_already_exists, is_conflict, is_not_found
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from .registry import PodRegistry

log = logging.getLogger(__name__)

_RETRY = 1.0
_RETRY_MAX = 60.0  # about as often as upstream's passes over a pod


def render_mirror(pod: Pod, node_uid: str) -> Pod:
    """The mirror of a static pod, owned by the node."""
    metadata = copy.deepcopy(pod["metadata"])
    metadata.pop("uid", None)
    metadata["annotations"][MIRROR] = metadata["annotations"][pods.CONFIG_HASH]
    metadata["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Node", "name": pod["spec"]["nodeName"], "uid": node_uid, "controller": True}
    ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(pod["spec"])}


class MirrorManager:
    """Keeps a mirror for each static pod, and none without one.

    synced: whether the API's pods are known. ending: whether a static pod of that full name still ends: its mirror
    stays until nothing of it runs.
    """

    def __init__(
        self,
        client: Client,
        registry: PodRegistry,
        node: str,
        synced: Callable[[], bool],
        ending: Callable[[str], bool],
    ) -> None:
        self._synced, self._ending = synced, ending
        self._client, self._registry, self._node = client, registry, node
        self._kick, self._refused = asyncio.Event(), False
        self.pause = _RETRY
        """Seconds until what could not be done is tried again; doubled as long as something is refused."""

    def kick(self) -> None:
        self._kick.set()

    async def run(self) -> None:
        """Reconcile on every change, and again while something could not be done, until cancelled."""
        while True:
            self._kick.clear()
            self._refused, done = False, False
            try:
                done = await self._reconcile()
            except ApiUnreachable as error:
                log.warning("Failed to reconcile mirror pods: %s", error)
            except ApiError as error:
                self._refused = True
                log.warning("Failed to reconcile mirror pods: %s", error)
            self.pause = min(2 * self.pause, _RETRY_MAX) if self._refused else _RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if done else self.pause):
                    await self._kick.wait()

    async def _reconcile(self) -> bool:
        if not (self._registry.static_read and self._synced()):
            return False
        done = True
        for mirror in self._registry.mirrors():
            static = self._registry.by_name(mirror["metadata"]["namespace"], mirror["metadata"]["name"])
            if static is not None and pods.is_static(static) and not self._stale(static, mirror):
                continue
            if self._ending(pods.full_name(mirror)):
                done = False
            else:
                await self._delete(mirror)
        missing = [pod for pod in self._registry.static() if self._registry.mirror_of(pod) is None]
        if missing and (node := await self._own_node()):
            for pod in missing:
                done = await self._create(pod, node["metadata"]["uid"]) and done
        return done

    async def _own_node(self) -> Pod | None:
        """None for one that was removed from the cluster: then there are no mirrors."""
        try:
            return await self._client.get(NODES, self._node)
        except ApiError as error:
            if not is_not_found(error):
                raise
            return None

    def _stale(self, static: Pod, mirror: Pod) -> bool:
        wanted = pods.notes(static).get(pods.CONFIG_HASH)
        return pods.notes(mirror).get(MIRROR) != wanted or bool(mirror["metadata"].get("deletionTimestamp"))

    async def _create(self, pod: Pod, node_uid: str) -> bool:
        try:
            await self._client.create(PODS, render_mirror(pod, node_uid), pod["metadata"]["namespace"])
        except ApiError as error:
            if is_already_exists(error):
                return True
            self._refused = True
            told, where = quoted(str(error)), quoted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}")
            log.error('"Failed creating a mirror pod" err=%s pod=%s', told, where)
            return False
        return True

    async def _delete(self, mirror: Pod) -> None:
        metadata = mirror["metadata"]
        try:
            await self._client.delete(
                PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"], grace_period=0
            )
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise
