"""The port of a component: health for all, metrics and the glass box for whom the API server lets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from apimachinery.client.component import ComponentConfig
from apimachinery.client.guarded import Guarded
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.clock import Clock
from apimachinery.kit.debug import DebugServer


def port_parts(
    config: ComponentConfig, name: str, glass_box: GlassBox, client: Client, clock: Clock, stop: asyncio.Event
) -> list[Awaitable[None]]:
    """What has to run beside the component's own parts; nothing when it is to serve no port."""
    if not config.secure_port:
        return []
    context = config.server_context(name)
    server = DebugServer(config.bind_address, config.secure_port, tls=context)
    guarded = Guarded(server, client, clock, config.open_paths)
    guarded.route("/debug", glass_box.answer)
    return [server.run(stop), guarded.run(context)]
