"""How many replicas the controllers of some pods want (pkg/controller/disruption, finders).

Built-in kinds are read from listers; every other kind is asked for its scale subresource.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from apimachinery.api.catalogue import DEPLOYMENTS, REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS, Resource
from apimachinery.cache.lister import Lister
from apimachinery.client.rest import Client
from apimachinery.controller.owners import controller_of
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.discovery import ServedKinds

Object = dict[str, Any]


class UnknownScale(Exception):
    """A pod's controller cannot be found, or has no scale."""


class Scales:
    """The scale of pods' controllers."""

    def __init__(self, context: Context) -> None:
        self._client: Client = context.client
        kinds = (REPLICATIONCONTROLLERS, REPLICASETS, STATEFULSETS, DEPLOYMENTS)
        self._listers = {(each.group, each.kind): context.informer(each).lister for each in kinds}
        self._kinds = ServedKinds(context.client)

    async def total(self, owned: Iterable[Object]) -> tuple[int, list[str]]:
        """Return the sum over the pods' controllers, each counted once, and the names of pods that have none.

        Raises UnknownScale, ApiError, ApiUnreachable.
        """
        scales: dict[str, int] = {}
        unmanaged = []
        for pod in owned:
            reference = controller_of(pod)
            if reference is None:
                unmanaged.append(objects.name(pod))
            elif reference["uid"] not in scales:
                found = await self._find(reference, objects.namespace(pod))
                if found is None:
                    raise UnknownScale(f'found no controllers for pod "{objects.name(pod)}"')
                scales[reference["uid"]] = 0
                scales[found[0]] = found[1]
        return sum(scales.values()), unmanaged

    async def _find(self, reference: Object, namespace: str) -> tuple[str, int] | None:
        """Return (uid, replicas) of the pod's controller, or of the Deployment above its ReplicaSet."""
        group = _group(reference)
        owner = self._listed(self._listers.get((group, reference["kind"])), reference, namespace)
        if owner is not None and reference["kind"] == "ReplicaSet":
            above = controller_of(owner)
            if above is not None and above.get("kind") == "Deployment":
                owner = self._listed(self._listers.get((_group(above), "Deployment")), above, namespace)
        if owner is not None:
            return objects.uid(owner), int((owner.get("spec") or {}).get("replicas", 1))
        return await self._asked(group, reference, namespace)

    def _listed(self, lister: Lister | None, reference: Object, namespace: str) -> Object | None:
        found = lister.get(reference["name"], namespace) if lister is not None else None
        return found if found is not None and objects.uid(found) == reference["uid"] else None

    async def _asked(self, group: str, reference: Object, namespace: str) -> tuple[str, int] | None:
        try:
            resource = await self._kinds.resource(group, reference["kind"])
        except LookupError as error:
            raise UnknownScale(str(error)) from None
        try:
            path = resource.path(namespace, reference["name"], "scale")
            scale = orjson.loads(await self._client.raw("GET", path))
        except ApiError as error:
            if not is_not_found(error):
                raise
            if not await self._has_scale(resource):
                name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
                raise UnknownScale(f"{name} does not implement the scale subresource") from None
            return None
        if objects.uid(scale) != reference["uid"]:
            return None
        return objects.uid(scale), int((scale.get("spec") or {}).get("replicas") or 0)

    async def _has_scale(self, resource: Resource) -> bool:
        path = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
        listed = orjson.loads(await self._client.raw("GET", path))
        return any(each["name"] == f"{resource.plural}/scale" for each in listed.get("resources") or ())


def _group(reference: Object) -> str:
    group, _, _ = str(reference.get("apiVersion") or "").rpartition("/")
    return group
