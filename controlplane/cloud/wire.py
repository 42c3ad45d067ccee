"""The only place where the cloud controller manager's real objects are made and joined."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from apimachinery.client.fenced import FencedClient
from apimachinery.client.leader import LeaderElector, LeadershipLost
from apimachinery.client.rest import Client
from apimachinery.controller import local_door
from apimachinery.controller.events import EventRecorder
from apimachinery.controller.glassbox import GlassBox
from apimachinery.controller.leading import telling
from apimachinery.controller.serving import LEADER_ELECTION, port_parts
from apimachinery.controller.stepping import ControllerLoop
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.debug import Check
from apimachinery.kit.tasks import run_until
from apimachinery.kit.trace import Trace, use
from controlplane.cloud.config import CloudConfig
from controlplane.cloud.context import Context
from controlplane.cloud.descriptors import make_loops
from controlplane.cloud.kubelab.cloud import make_cloud
from controlplane.cloud.kubelab.lab import LabFile
from controlplane.cloud.provider import Cloud
from controlplane.cloud.rehearsal import is_namespaced, rehearse_with

log = logging.getLogger(__name__)

NAME = "cloud-controller-manager"


class CloudDaemon:
    """The cloud controller manager, ready to run."""

    def __init__(self, config: CloudConfig, cloud: Cloud, pods: tuple[str, ...], clock: Clock) -> None:
        self._config, self._cloud, self._pods, self._clock = config, cloud, pods, clock
        self.glass_box = GlassBox(Trace(NAME))
        self._checks: dict[str, Check] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the cluster until `stop` is set."""
        config = self._config
        use(self.glass_box.trace)
        async with Client(config.client, NAME) as client:
            recorder = EventRecorder(client, NAME, clock=self._clock)
            leading = self._campaign(client, recorder) if config.leader_elect else self._lead(client)
            parts: list[Awaitable[None]] = [leading, recorder.run()]
            parts += port_parts(config, NAME, self.glass_box, client, self._clock, stop, checks=self._checks)
            if config.debug_socket is not None:
                parts.append(local_door.serve(config.debug_socket, self.glass_box.answer, stop))
            await run_until(stop, parts)

    async def _campaign(self, client: Client, recorder: EventRecorder) -> None:
        """Lead whenever the lease is ours. Losing it is no end: on the host there is no kubelet that would start this
        process again, and an API server that is away for ten seconds is a machine that is rebooted."""
        config = self._config
        while True:
            elector = config.elector(client, NAME, self._clock, tell=telling(recorder))
            self._checks[LEADER_ELECTION] = elector.check

            async def lead_fenced(elector: LeaderElector = elector) -> None:
                async with FencedClient(config.client, NAME, elector.holds) as fenced:
                    await self._lead(fenced)

            try:
                await elector.run(lead_fenced)
            except LeadershipLost as error:
                log.warning("%s; the loops begin anew when the lease is ours again", error)
                self.glass_box.show([])
            await self._clock.sleep(config.leader_lease[2])

    async def _lead(self, client: Client) -> None:
        context = Context(client, self._cloud, self._clock, self._config.periods, self._pods)
        await run_loops(context, self._config, self.glass_box)


async def run_loops(context: Context, config: CloudConfig, glass_box: GlassBox) -> None:
    """Run every enabled loop until cancelled. Each begins its work when the shared informers have synced."""
    loops = list(make_loops(context, config))
    glass_box.show(
        [
            ControllerLoop(each.loop, rehearse_with(context, config, each), namespaced=is_namespaced(each.loop.name))
            for each in loops
        ]
    )
    await context.run(loops)


def build(config: CloudConfig, cloud: Cloud | None = None, clock: Clock | None = None) -> CloudDaemon:
    """Join the parts. cloud: the configuration's when not given. No I/O but reading the cloud configuration."""
    pods = LabFile(config.cloud_config).load().pods
    return CloudDaemon(config, cloud or make_cloud(config.cloud_config), pods, clock or SystemClock())
