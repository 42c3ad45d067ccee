"""The only place where the controllers' real objects are made and joined."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from apimachinery.client.accounts import Accounts
from apimachinery.client.fenced import FencedClient
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.controller.glassbox import GlassBox
from apimachinery.controller.leading import telling
from apimachinery.controller.rehearsing import loops_of
from apimachinery.controller.serving import LEADER_ELECTION, port_parts
from apimachinery.controller.stepping import ControllerLoop
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.debug import Check, well
from apimachinery.kit.tasks import run_until
from apimachinery.kit.trace import Trace, use
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.configz import shown
from controlplane.controllers.context import Context
from controlplane.controllers.descriptors import enabled
from controlplane.controllers.rehearsal import is_namespaced, rehearse_with

NAME = "kube-controller-manager"


class ControllersDaemon:
    """The controller manager, ready to run. glass_box: for `kubelab step` and `kubelab trace`."""

    def __init__(self, config: ControllersConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self.glass_box = GlassBox(Trace(NAME))

    async def run(self, stop: asyncio.Event) -> None:
        """Control until `stop` is set. Raises LeadershipLost when another manager took over."""
        config = self._config
        use(self.glass_box.trace)
        async with Client(config.client, NAME) as client:
            checks: dict[str, Check] = {}

            async def lead(leading: Client, holds: Callable[[], bool]) -> None:
                # A controller that fails ends the process: what is asked about is that it was started.
                checks.update((each.name, well) for each in enabled(config))
                async with Accounts(leading, NAME, holds, self._clock) as accounts:
                    used = accounts if config.use_service_account_credentials else None
                    await run_controllers(Context(leading, config, self._clock, used), self.glass_box)

            parts: list[Awaitable[None]] = []
            if config.leader_elect:
                recorder = EventRecorder(client, NAME, clock=self._clock)
                elector = config.elector(client, NAME, self._clock, tell=telling(recorder))
                checks[LEADER_ELECTION] = elector.check

                async def lead_fenced() -> None:
                    async with FencedClient(config.client, NAME, elector.holds) as fenced:
                        await lead(fenced, elector.holds)

                parts += [elector.run(lead_fenced), recorder.run()]
            else:
                parts.append(lead(client, lambda: True))
            parts += port_parts(
                config, NAME, self.glass_box, client, self._clock, stop, checks=checks, shown=shown(config)
            )
            await run_until(stop, parts)


async def run_controllers(context: Context, glass_box: GlassBox) -> None:
    """Run every enabled controller until cancelled. Each begins its work when the shared informers have synced."""
    controllers = []
    loops = []
    for descriptor in enabled(context.config):
        own = context.of(descriptor.account)
        controller = own.make(descriptor.make)
        controllers.append(controller)
        loops += [
            ControllerLoop(
                loop,
                rehearse_with(own, descriptor.make, controller, loop.name),
                namespaced=is_namespaced(loop.name),
            )
            for loop in loops_of(controller)
        ]
    glass_box.show(loops)
    await context.make_accounts()
    await context.run(controllers)


def build(config: ControllersConfig, clock: Clock | None = None) -> ControllersDaemon:
    """Join the parts. No I/O happens before `run`."""
    return ControllersDaemon(config, clock or SystemClock())
