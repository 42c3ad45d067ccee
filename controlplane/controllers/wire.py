"""The only place where the controllers' real objects are made and joined."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable

from apimachinery.client.fenced import FencedClient
from apimachinery.client.guarded import Guarded
from apimachinery.client.leader import LeaderElector
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox
from apimachinery.controller.stepping import ControllerLoop
from apimachinery.kit import tls
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.debug import DebugServer
from apimachinery.kit.selfsigned import self_signed_context
from apimachinery.kit.tasks import run_until
from apimachinery.kit.trace import Trace, use
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.context import Context
from controlplane.controllers.descriptors import enabled
from controlplane.controllers.rehearsal import loops_of, rehearse_with

log = logging.getLogger(__name__)


class ControllersDaemon:
    """The controller manager, ready to run. glass_box: for `kubelab step` and `kubelab trace`."""

    def __init__(self, config: ControllersConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self.glass_box = GlassBox(Trace("kube-controller-manager"))

    async def run(self, stop: asyncio.Event) -> None:
        """Control until `stop` is set. Raises LeadershipLost when another manager took over."""
        config = self._config
        use(self.glass_box.trace)
        async with Client(config.client, "kube-controller-manager") as client:

            async def lead(with_client: Client = client) -> None:
                await run_controllers(Context(with_client, config, self._clock), self.glass_box)

            parts: list[Awaitable[None]] = []
            if config.leader_elect:
                lease, renew, retry = config.leader_lease
                elector = LeaderElector(
                    client, "kube-controller-manager", "kube-system", config.holder, self._clock,
                    lease=lease, renew=renew, retry=retry,
                )  # fmt: skip

                async def lead_fenced() -> None:
                    async with FencedClient(config.client, "kube-controller-manager", elector.holds) as fenced:
                        await lead(fenced)

                parts.append(elector.run(lead_fenced))
            else:
                parts.append(lead())
            if config.secure_port:
                context = _server_context(config)
                server = DebugServer(config.bind_address, config.secure_port, tls=context)
                guarded = Guarded(server, "/debug", self.glass_box.answer)
                parts += [server.run(stop), guarded.run(client, context, self._clock)]
            await run_until(stop, parts)


async def run_controllers(context: Context, glass_box: GlassBox) -> None:
    """Run every enabled controller until cancelled. Each begins its work when the shared informers have synced."""
    controllers = []
    loops = []
    for descriptor in enabled(context.config):
        controller = descriptor.make(context)
        controllers.append(controller)
        loops += [
            ControllerLoop(loop, rehearse_with(context, descriptor.make, controller, loop.name))
            for loop in loops_of(controller)
        ]
    glass_box.show(loops)
    async with asyncio.TaskGroup() as group:
        group.create_task(context.informers.run())
        for recorder in context.recorders:
            group.create_task(recorder.run())
        # Absence proves nothing before sync: nobody starts on a partial picture.
        await context.informers.wait_synced()
        for controller in controllers:
            log.info('Started "%s"', controller.name)
            group.create_task(controller.run(), name=controller.name)


def build(config: ControllersConfig, clock: Clock | None = None) -> ControllersDaemon:
    """Join the parts. No I/O happens before `run`."""
    return ControllersDaemon(config, clock or SystemClock())


def _server_context(config: ControllersConfig) -> ssl.SSLContext:
    if config.tls_cert_file is not None and config.tls_private_key_file is not None:
        return tls.server_context(config.tls_cert_file, config.tls_private_key_file)
    return self_signed_context("kube-controller-manager")
