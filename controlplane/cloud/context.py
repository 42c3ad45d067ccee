"""What every loop is given, and the one shape they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from apimachinery.client.rest import Client
from apimachinery.controller.context import BaseContext, Runnable
from apimachinery.controller.loop import Controller
from apimachinery.kit.clock import Clock
from controlplane.cloud.provider import Cloud

Object = dict[str, Any]


class Loop(Runnable, Protocol):
    """A controller, and the reconcile loop behind it."""

    loop: Controller


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds. monitor: between looks at nodes that are silent (--node-monitor-period); status: between looks at every
    node's addresses (--node-status-update-frequency); routes: between looks at all routes
    (--route-reconciliation-period)."""

    monitor: float = 5.0
    status: float = 300.0
    routes: float = 10.0


class Context(BaseContext):
    """Shared parts of the cloud's loops."""

    def __init__(
        self, client: Client, cloud: Cloud, clock: Clock, periods: Periods, pods: tuple[str, ...] = ()
    ) -> None:
        """pods: the networks of all pods; routes to others are left alone."""
        super().__init__(client, clock)
        self.cloud, self.periods, self.pods = cloud, periods, pods
