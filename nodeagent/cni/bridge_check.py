"""CHECK of the bridge plugin: whether the kernel still has what ADD returned (SPEC 1.1, CHECK)."""

from __future__ import annotations

import os

from nodeagent.netlink import links, namespaces, routes
from nodeagent.netlink.wire import Netlink

from . import port, results
from .addresses import format_ip, parse_network
from .errors import INTERFACE_MISMATCH, INVALID_CONFIG, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bridge_config import BridgeConfig
    from .call import Call

    Result = dict[str, Any]


def check(call: Call, config: BridgeConfig) -> None:
    previous = results.from_previous(call.config)
    if previous is None:
        raise CniError(INVALID_CONFIG, "Required prevResult missing")
    interfaces = previous["interfaces"]
    bridge_said = _named(interfaces, config.bridge, "")
    container_said = _named(interfaces, call.interface, call.netns)
    if container_said is None:
        raise _wrong(f"CNI created interface in container {call.interface} not found in prevResult")
    namespace = namespaces.open_namespace(call.netns)
    try:
        container = namespaces.inside(namespace, lambda: _check_container(container_said, previous))
    finally:
        os.close(namespace)
    with Netlink() as netlink:
        bridge = links.find(netlink, config.bridge)
        if bridge is None:
            raise _wrong(f"CNI created bridge {config.bridge} in host namespace was not found")
        if bridge.kind != "bridge":
            raise _wrong(f"Interface {config.bridge} does not have link type of bridge")
        _check_mac("Bridge interface", bridge, bridge_said)
        host = links.by_index(netlink, container.peer)
        if host is None or host.kind != "veth" or host.peer != container.index or host.master != bridge.index:
            raise _wrong(f"CNI veth created for bridge {config.bridge} was not found")
        _check_mac("Interface", host, _named(interfaces, host.name, ""))
        port.check(netlink, call, config, host, container.mac, previous["ips"])
    if config.port_mappings:
        from . import hostports

        addresses = [parse_network(ip["address"]) for ip in previous["ips"]]
        hostports.check(call.network, call.container, config.port_mappings, addresses)


def _check_container(said: Result, previous: Result) -> links.Link:
    with Netlink() as netlink:
        link = links.find(netlink, said["name"])
        if link is None:
            raise _wrong(f"Interface name {said['name']} not found")
        if link.kind != "veth":
            raise _wrong(f"Error: Container interface {link.name} not of type veth")
        if not link.up:
            raise _wrong(f"Interface {link.name} is down")
        _check_mac("Interface", link, said)
        held = {(address.ip, address.prefix) for address in links.list_addresses(netlink, link.index)}
        for ip in previous["ips"]:
            address = parse_network(ip["address"])
            if (address.ip, address.prefix) not in held:
                raise _wrong(f"Failed to match addr {address} on interface {link.name}")
        _check_routes(netlink, previous["routes"])
        return link


def _check_routes(netlink: Netlink, wanted: list[Result]) -> None:
    present = {
        (route.destination, route.prefix)
        for family in (routes.AF_INET, routes.AF_INET6)
        for route in routes.list_routes(netlink, family)
    }
    for route in wanted:
        destination = parse_network(route["dst"])
        packed = destination.network if destination.prefix else b""
        if route.get("table") in (None, routes.RT_TABLE_MAIN) and (packed, destination.prefix) not in present:
            words = f"{format_ip(destination.network)}/{destination.prefix}"
            raise _wrong(f"Expected Route {words} not found in routing table")


def _named(interfaces: list[Result], name: str, sandbox: str) -> Result | None:
    for interface in interfaces:
        if interface.get("name") == name and interface.get("sandbox", "") == sandbox:
            return interface
    return None


def _check_mac(what: str, link: links.Link, said: Result | None) -> None:
    if said is not None and said.get("mac") and said["mac"] != link.mac:
        raise _wrong(f"{what} {link.name} Mac doesn't match: {said['mac']}")


def _wrong(words: str) -> CniError:
    return CniError(INTERFACE_MISMATCH, words)
