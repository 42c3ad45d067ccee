"""The ways to the glass boxes: by the API server, or to a component on this host by its socket in the lab's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.controller import local_door
from apimachinery.kit.config import ConfigError
from provisioner import cloudmanager
from provisioner.home import LabHome, known_labs

Object = dict[str, Any]

ROOT = "/debug/components"


class Door(Protocol):
    """The way to one component."""

    @property
    def component(self) -> str: ...

    async def ask(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Object:
        """path: as apimachinery.controller.glassbox has them. Raises ApiError, ApiUnreachable."""


@dataclass(frozen=True, slots=True)
class ApiDoor:
    """By an API server."""

    client: Client
    component: str

    async def ask(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Object:
        """See Door."""
        answer: Object = orjson.loads(await self.client.raw(method, f"{ROOT}/{self.component}/{path}", query or {}))
        return answer


@dataclass(frozen=True, slots=True)
class HostDoor:
    """By a socket of this host."""

    socket: Path
    component: str

    async def ask(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Object:
        """See Door."""
        try:
            return await local_door.ask(self.socket, method, path, query)
        except OSError as error:
            raise ApiUnreachable(f"{self.component}: {error}") from None


def host_doors(home: Path, config: ClientConfig) -> list[HostDoor]:
    """Those of the lab whose API server `config` names; none where no cloud controller manager serves it."""
    found = []
    for place in (LabHome(home, name) for name in known_labs(home)):
        with contextlib.suppress(ConfigError):
            if place.cloud_socket.exists() and load_kubeconfig(place.admin_conf).server == config.server:
                found.append(HostDoor(place.cloud_socket, cloudmanager.NAME))
    return found
