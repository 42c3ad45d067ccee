"""What every controller is given, and the one shape they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from apimachinery.api.catalogue import PODS, Resource
from apimachinery.cache.informer import Informer, InformerFactory, without_managed_fields
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.controller.owners import controller_of
from apimachinery.kit.clock import Clock
from apimachinery.meta import pods
from controlplane.controllers.config import ControllersConfig

Object = dict[str, Any]

BY_CONTROLLER = "controller-uid"
BY_NODE = "node-name"

_DROPPED_OF_CONTAINERS = (
    "env", "envFrom", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",
    "securityContext", "command", "args",
)  # fmt: skip


class Runnable(Protocol):
    """A controller: a name and a loop that ends only when cancelled."""

    name: str

    async def run(self) -> None:
        """Work until cancelled."""


class Context:
    """Shared parts. Controllers take informers, recorders and the clock from here when they are made."""

    def __init__(self, client: Client, config: ControllersConfig, clock: Clock) -> None:
        self.client, self.config, self.clock = client, config, clock
        self.informers = InformerFactory(client)
        self.recorders: list[EventRecorder] = []

    def recorder(self, component: str) -> EventRecorder:
        """Return a recorder whose events say that `component` sent them."""
        recorder = EventRecorder(self.client, component, clock=self.clock)
        self.recorders.append(recorder)
        return recorder

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
    """Index the informer's objects by the uid of their controller (empty for none)."""
    informer.lister.add_index(BY_CONTROLLER, lambda obj: ((controller_of(obj) or {}).get("uid", ""),))


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
