"""ComponentStatus: never stored; each answer asks the components (pkg/registry/core/componentstatus)."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from apimachinery.meta import status
from controlplane.apiserver.front import metering, responses
from controlplane.apiserver.front.negotiate import accept
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.tables.render import Tables

Object = dict[str, Any]
Probe = Callable[[], Awaitable[None]]
"""Returns when the component is healthy; raises with the reason otherwise."""

WARNING = "v1 ComponentStatus is deprecated in v1.19+"
#: Where a component beside the API server tells of its health, by default.
PORTS = {"scheduler": 10259, "controller-manager": 10257}
_TIMEOUT = 20.0  # seconds; upstream's


class ComponentStatuses:
    """Serves get and list. probes: by name, in the order of a list."""

    def __init__(self, probes: Mapping[str, Probe], tables: Tables) -> None:
        self._probes, self._tables = probes, tables

    async def serve(self, request: web.BaseRequest, call: Call) -> web.Response:
        """Raises ApiError 404 for a component there is not."""
        call.warn(WARNING)
        metering.deprecated(call)
        wanted = accept(request.headers.get("Accept", ""))
        if call.name and call.name not in self._probes:
            raise status.not_found(call.resource, call.name)
        names = [call.name] if call.name else list(self._probes)
        found = await asyncio.gather(*(_status(name, self._probes[name]) for name in names))
        if wanted.kind == "Table":
            answer = self._tables.table(call.resource, found, wanted.version, call.query.get("includeObject", ""))
        elif call.name:
            answer = {"kind": "ComponentStatus", "apiVersion": "v1", **found[0]}
        else:
            answer = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": found}
        return responses.document(request, answer, media=wanted.media, warnings=call.warnings)


async def _status(name: str, probe: Probe) -> Object:
    try:
        async with asyncio.timeout(_TIMEOUT):
            await probe()
    except Exception as error:
        healthy, message = "False", str(error) or "context deadline exceeded"
    else:
        healthy, message = "True", "ok"
    return {
        "metadata": {"name": name, "creationTimestamp": None},
        "conditions": [{"type": "Healthy", "status": healthy, "message": message}],
    }


def local(port: int) -> Probe:
    """Ask a component of this machine. As upstream, without looking at its certificate, which it signed itself."""
    url = f"https://127.0.0.1:{port}/healthz"

    async def ask() -> None:
        try:
            async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as answer:
                if answer.status != 200:
                    raise RuntimeError(f"HTTP probe failed with statuscode: {answer.status}")
        except aiohttp.ClientConnectorError as error:
            reason = os.strerror(error.os_error.errno or errno.ECONNREFUSED).lower()
            raise RuntimeError(f'Get "{url}": dial tcp 127.0.0.1:{port}: connect: {reason}') from None
        except aiohttp.ClientError as error:
            raise RuntimeError(f'Get "{url}": {error}') from None

    return ask
