"""host-local: the address management of kubelab-bridge as a plugin of its own, for other plugins to call."""

from __future__ import annotations

from . import ipam
from .call import Plugin
from .errors import PLUGIN_NOT_AVAILABLE, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .call import Call


def add(call: Call) -> dict[str, Any]:
    return ipam.add(call)


def delete(call: Call) -> None:
    ipam.delete(call)


def check(call: Call) -> None:
    ipam.check(call)


def collect(call: Call) -> None:
    ipam.collect(call, call.valid_attachments())


def status(call: Call) -> None:
    if not ipam.has_room(call):
        raise CniError(PLUGIN_NOT_AVAILABLE, "no IP addresses available")


PLUGIN = Plugin("CNI plugin host-local v0.1.0", ADD=add, DEL=delete, CHECK=check, GC=collect, STATUS=status)
