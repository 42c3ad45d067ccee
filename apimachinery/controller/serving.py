"""The port of a component: health for all, metrics and the glass box for whom the API server lets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from apimachinery.client.component import ComponentConfig
from apimachinery.client.guarded import Guarded
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.clock import Clock
from apimachinery.kit.debug import Check, DebugServer, Handler
from apimachinery.meta.build import show_build, version_info

LEADER_ELECTION = "leaderElection"
"""The check of who asks for a lease."""


def port_parts(
    config: ComponentConfig,
    name: str,
    glass_box: GlassBox,
    client: Client,
    clock: Clock,
    stop: asyncio.Event,
    *,
    checks: Mapping[str, Check] | None = None,
    ready: Mapping[str, Check] | None = None,
    routes: Mapping[str, Handler] | None = None,
    shown: Mapping[str, Any] | None = None,
) -> list[Awaitable[None]]:
    """What has to run beside the component's own parts; nothing when it is to serve no port.

    checks, ready: as of `DebugServer`. routes: by path, what it serves besides. shown: what /configz answers.
    """
    if not config.secure_port:
        return []
    show_build(version_info())
    context = config.server_context(name)
    address = config.bind_address, config.secure_port
    server = DebugServer(*address, checks=checks, ready=ready, config=shown, tls=context)
    for path, handler in (routes or {}).items():
        server.route(path, handler)
    guarded = Guarded(server, client, clock, config.open_paths)
    guarded.route("/debug", glass_box.answer)
    return [server.run(stop), guarded.run(context)]
