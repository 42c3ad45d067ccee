"""Follows every pod in the order in which the API server stored it: what was so for a moment is seen as well."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from apimachinery.api.catalogue import PODS
from apimachinery.client.rest import Client
from apimachinery.controller.owners import controller_of
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError

Object = dict[str, Any]


class PodFollower:
    """A context in which `saw` and `lost` are called. pods: as they were last seen, by uid."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.pods: dict[str, Object] = {}
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        listed = await self._client.list(PODS)
        for pod in listed["items"]:
            self._take(pod)
        self._following = asyncio.create_task(self._follow(listed["metadata"]["resourceVersion"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.check()
        assert self._following is not None
        await cancel_and_wait(self._following)

    def check(self) -> None:
        """Raises what ended the watch."""
        assert self._following is not None
        if self._following.done():
            self._following.result()

    def saw(self, pod: Object, twin: bool) -> None:
        """A pod is there, or another than before. twin: beside another one of its name."""
        raise NotImplementedError

    def lost(self, pod: Object) -> None:
        """A pod is gone."""

    async def _follow(self, version: str) -> None:
        while True:
            try:
                async for event in self._client.watch(PODS, resource_version=version):
                    version = objects.resource_version(event.object)
                    if event.type == "DELETED":
                        self.pods.pop(objects.uid(event.object), None)
                        self.lost(event.object)
                    elif event.type != "BOOKMARK":
                        self._take(event.object)
            except ApiError as error:
                raise AssertionError(f"the watch of pods broke: {error}") from error

    def _take(self, pod: Object) -> None:
        uid, name = objects.uid(pod), objects.key(pod)
        twin = any(objects.key(other) == name for each, other in self.pods.items() if each != uid)
        self.pods[uid] = pod
        self.saw(pod, twin)


def family(pod: Object) -> tuple[str, str]:
    """The kind and name of who wants the pod; of a ReplicaSet's pods the Deployment."""
    reference = controller_of(pod) or {"kind": "", "name": ""}
    if reference["kind"] == "ReplicaSet":
        return "Deployment", reference["name"].rpartition("-")[0]
    return reference["kind"], reference["name"]
