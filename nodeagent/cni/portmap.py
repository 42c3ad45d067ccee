"""portmap: hostPorts as a chained plugin, for configurations written for the reference plugins.

kubelab-bridge does the same itself where the runtime knows its capability `portMappings`, without a second process.
"""

from __future__ import annotations

from nodeagent.netlink.wire import Netlink

from . import alive, hostports, results
from .addresses import Network, parse_network
from .call import Plugin
from .errors import DECODING_FAILURE, INVALID_CONFIG, UNSUPPORTED_FIELD, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .call import Call

    Result = dict[str, Any]


# The reference's fields that we do not carry out: a port would be open to others, or hide others, than was asked for.
_UNSUPPORTED = ("conditionsV4", "conditionsV6", "masqAll")


def add(call: Call) -> Result:
    _refuse_unsupported(call)
    previous = results.from_previous(call.config)
    if previous is None:
        raise CniError(INVALID_CONFIG, "must be called as chained plugin")
    mappings = _mappings(call)
    if mappings:
        addresses = container_addresses(previous, call.interface)
        with Netlink() as netlink:
            alive.check_claims(netlink, call, [address.ip for address in addresses])
        hostports.ensure(call.network, call.container, mappings, addresses)
    return previous


def delete(call: Call) -> None:
    if _mappings(call):
        hostports.remove(call.network, call.container)


def check(call: Call) -> None:
    previous = results.from_previous(call.config)
    if previous is None:
        raise CniError(INVALID_CONFIG, "Required prevResult missing")
    if mappings := _mappings(call):
        hostports.check(call.network, call.container, mappings, container_addresses(previous, call.interface))


def collect(call: Call) -> None:
    hostports.collect(call.network, {container for container, _ in call.valid_attachments()})


PLUGIN = Plugin("CNI plugin portmap v0.1.0", ADD=add, DEL=delete, CHECK=check, GC=collect)


def container_addresses(previous: Result, interface: str) -> list[Network]:
    """The addresses of a result that are the container's own: those of `interface`, or of no named interface."""
    found = []
    for ip in previous["ips"]:
        index = ip.get("interface")
        if isinstance(index, int) and 0 <= index < len(previous["interfaces"]):
            owner = previous["interfaces"][index]
            if owner.get("name") != interface or not owner.get("sandbox"):
                continue
        try:
            found.append(parse_network(ip["address"]))
        except ValueError as error:
            raise CniError(DECODING_FAILURE, f"could not parse prevResult: {error}") from None
    return found


def _refuse_unsupported(call: Call) -> None:
    fields = [field for field in _UNSUPPORTED if call.config.get(field)]
    if call.config.get("snat") is False:
        fields.append("snat")
    if fields:
        raise CniError(UNSUPPORTED_FIELD, f"portmap does not support {', '.join(fields)}")


def _mappings(call: Call) -> list[dict[str, Any]]:
    return (call.config.get("runtimeConfig") or {}).get("portMappings") or []
