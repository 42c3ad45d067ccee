"""What every loop is given, and the one shape they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from apimachinery.cache.informer import InformerFactory
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.controller.loop import Controller
from apimachinery.kit.clock import Clock
from controlplane.cloud.provider import Cloud

Object = dict[str, Any]


class Loop(Protocol):
    """A controller: a name, the reconcile loop behind it, and a run that ends only when cancelled."""

    name: str
    loop: Controller

    async def run(self) -> None:
        """Work until cancelled. Begins when the shared informers have synced."""


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds. monitor: between looks at nodes that are silent (--node-monitor-period); status: between looks at every
    node's addresses (--node-status-update-frequency); routes: between looks at all routes
    (--route-reconciliation-period)."""

    monitor: float = 5.0
    status: float = 300.0
    routes: float = 10.0


class Context:
    """Shared parts. Loops take informers, recorders and the clock from here when they are made."""

    def __init__(
        self, client: Client, cloud: Cloud, clock: Clock, periods: Periods, pods: tuple[str, ...] = ()
    ) -> None:
        """pods: the networks of all pods; routes to others are left alone."""
        self.client, self.cloud, self.clock, self.periods, self.pods = client, cloud, clock, periods, pods
        self.informers = InformerFactory(client)
        self.recorders: list[EventRecorder] = []

    def recorder(self, component: str) -> EventRecorder:
        """Return a recorder whose events say that `component` sent them."""
        recorder = EventRecorder(self.client, component, clock=self.clock)
        self.recorders.append(recorder)
        return recorder
