"""What every controller is given, and the one shape they share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

from apimachinery.api.catalogue import PODS, Resource
from apimachinery.cache.informer import Informer, without_managed_fields
from apimachinery.cache.lister import Lister
from apimachinery.client.accounts import Accounts
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.controller.context import BaseContext
from apimachinery.controller.owners import controller_of
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects, pods
from apimachinery.meta.labels import Selector
from apimachinery.meta.status import ApiError
from controlplane.controllers.config import ControllersConfig

log = logging.getLogger(__name__)

Object = dict[str, Any]

BY_CONTROLLER = "controller-uid"
BY_NODE = "node-name"
_ORPHANS = "orphans"

_DROPPED_OF_CONTAINERS = (
    "env", "envFrom", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",
    "securityContext", "command", "args",
)  # fmt: skip


class Context(BaseContext):
    """Shared parts of the controllers, with the informers as they index them.

    reader: asks in the name of the informers, for what a controller reads from them elsewhere, and not here.
    """

    def __init__(
        self, client: Client, config: ControllersConfig, clock: Clock, accounts: Accounts | None = None
    ) -> None:
        super().__init__(client, clock)
        self.config, self.reader, self._accounts = config, client, accounts

    def of(self, account: str) -> Context:
        """The same parts for a controller whose requests and events are those of a service account of its own; where
        accounts are not used, or it has none: this context."""
        if self._accounts is None or not account:
            return self
        own = copy(self)
        own.client = self._accounts.client(account)
        return own

    async def make_accounts(self) -> None:
        """Create the accounts that controllers were given. One that cannot be made now is made when it is needed."""
        if self._accounts is not None:
            try:
                await self._accounts.make()
            except (ApiError, ApiUnreachable) as error:
                log.warning("service accounts of controllers: %s", error)

    def informer(self, resource: Resource) -> Informer:
        """Return the shared informer of a kind, over all namespaces."""
        if resource is PODS:
            return self.pods()
        return self.informers.get(resource)

    def pods(self) -> Informer:
        """Return the shared informer of Pods, indexed by node and by controller."""
        informer = self.informers.get(PODS, transform=controller_facts)
        informer.lister.add_index(BY_NODE, lambda pod: (pods.node_name(pod),))
        index_by_controller(informer)
        return informer

    def synced(self, informers: Iterable[Informer]) -> Callable[[], bool]:
        """Return the check whether all of `informers` have synced: absence proves nothing before."""
        watched = tuple(informers)
        return lambda: all(informer.has_synced for informer in watched)


def index_by_controller(informer: Informer) -> None:
    """Index the informer's objects by the uid of their controller, and those without one by their labels."""
    informer.lister.add_index(BY_CONTROLLER, lambda obj: (owner["uid"],) if (owner := controller_of(obj)) else ())
    informer.lister.add_index(_ORPHANS, _orphan_keys)


def claimable(lister: Lister, owner: Object, selector: Selector) -> list[Object]:
    """Return what `owner` controls, and of its namespace's orphans at least those that `selector` matches.

    Looked up by one label that the selector asks for, so that the work does not grow with what it does not match.
    """
    space = objects.namespace(owner)
    asked = (
        f"{space}/{each.key}={each.values[0]}"
        for each in selector.requirements
        if each.operator in ("=", "==", "in") and len(each.values) == 1
    )
    return [*lister.by_index(BY_CONTROLLER, objects.uid(owner)), *lister.by_index(_ORPHANS, next(asked, space))]


def _orphan_keys(obj: Object) -> tuple[str, ...]:
    if controller_of(obj) is not None:
        return ()
    space = objects.namespace(obj)
    return (space, *(f"{space}/{key}={value}" for key, value in objects.labels(obj).items()))


def controller_facts(pod: Object) -> Object:
    """An informer transform: drop of a pod what no controller reads."""
    pod = without_managed_fields(pod)
    spec = pod.get("spec") or {}
    volumes = [kept for volume in spec.pop("volumes", None) or () if (kept := _claimed(volume)) is not None]
    if volumes:
        spec["volumes"] = volumes
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            for field in _DROPPED_OF_CONTAINERS:
                container.pop(field, None)
    return pod


def _claimed(volume: Object) -> Object | None:
    """What a volume says of its claim; None for one without."""
    claim = volume.get("persistentVolumeClaim")
    if claim is not None:
        return {"name": volume["name"], "persistentVolumeClaim": {"claimName": claim["claimName"]}}
    return {"name": volume["name"], "ephemeral": {}} if volume.get("ephemeral") is not None else None
