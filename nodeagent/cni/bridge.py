"""kubelab-bridge: a veth pair from the pod to a bridge, an address, routes; and the machine as the pods' gateway.

The same configuration as the reference's `bridge` with `host-local`, which it contains: one process, not two.
"""

from __future__ import annotations

import os
import time

from nodeagent.netlink import links, namespaces, routes
from nodeagent.netlink.wire import Netlink, NetlinkError

from . import ipam, port, sysctls
from .addresses import Network, parse_ip, parse_network
from .alive import Alive
from .bridge_config import BridgeConfig
from .call import Plugin
from .errors import INTERFACE_MISMATCH, INVALID_CONFIG, IO_FAILURE, PLUGIN_NOT_AVAILABLE, TRY_AGAIN_LATER, CniError
from .undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .call import Call

    Result = dict[str, Any]

_PORT_WAIT = 2.5  # seconds until a bridge port must be up, as the reference
_ANYWHERE = parse_ip("192.0.2.1")  # TEST-NET-1 (RFC 5737): an address that only the default route leads to
_EEXIST = 17


def add(call: Call) -> Result:
    """Attach the pod. When it fails nothing of it is left, but for the bridge."""
    config = BridgeConfig(call)
    namespace = namespaces.open_namespace(call.netns)
    try:
        with Undo() as undo, Netlink() as netlink:
            mtu = config.mtu or uplink_mtu(netlink)
            there = links.find(netlink, config.bridge)
            addresses = ipam.add(call, Alive(netlink, there.index, call.network) if there else None)
            undo.add(lambda: ipam.delete(call))
            plan = plan_addresses(addresses, config)
            ips = [parse_network(ip["address"]).ip for ip in plan["ips"]]
            bridge = ensure_bridge(netlink, config, mtu)
            host = new_host_name()
            undo.add(lambda: _delete_link(netlink, host))
            _add_veth(netlink, call, config, host, bridge, mtu, namespace)
            pod_port = _found(netlink, host)
            port.ensure_noted(netlink, call, config, pod_port, ips)
            mac = namespaces.inside(namespace, lambda: _configure_container(call.interface, plan))
            port.ensure_guarded(netlink, config, pod_port, mac, ips)
            shapers = port.ensure_shaped(netlink, undo, call, config, pod_port)
            if config.gateway:
                ensure_gateway(netlink, bridge, plan, config.force_address)
            _wait_port_up(netlink, host)
            result = {
                "interfaces": [
                    {"name": config.bridge, "mac": bridge.mac},
                    {"name": host, "mac": pod_port.mac},
                    {"name": call.interface, "mac": mac, "sandbox": call.netns},
                    *shapers,
                ],
                "ips": [{"interface": 2, **ip} for ip in plan["ips"]],
                "routes": plan["routes"],
                "dns": config.dns or addresses["dns"],
            }
            if not result["routes"]:
                del result["routes"]
            _ensure_rules(undo, call, config, [parse_network(ip["address"]) for ip in plan["ips"]])
            return result
    finally:
        os.close(namespace)


def delete(call: Call) -> None:
    """Detach the pod. Whatever is missing is success: the runtime may call this again and again (SPEC, DEL)."""
    config = BridgeConfig(call)
    try:
        namespace = namespaces.open_namespace(call.netns)
        try:
            namespaces.inside(namespace, lambda: _delete_here(call.interface))
        finally:
            os.close(namespace)
    except namespaces.NamespaceGone:
        with Netlink() as netlink:
            bridge = links.find(netlink, config.bridge)
            if bridge is not None:
                port.delete_left(netlink, call, bridge.index)
    released = ipam.delete(call)
    if config.masquerade:
        from . import masquerade

        masquerade.remove(call.network, call.container, [Network(ip, len(ip) * 8) for ip in released])
    if config.port_mappings:
        from . import hostports

        hostports.remove(call.network, call.container)
    if config.bandwidth:
        from . import bandwidth

        bandwidth.remove(call)


def check(call: Call) -> None:
    """Raise CniError for what differs from the result of ADD."""
    config = BridgeConfig(call)
    ipam.check(call)
    from . import bridge_check

    bridge_check.check(call, config)


def collect(call: Call) -> None:
    """GC: release what attachments hold that the runtime does not list (SPEC 1.1, GC): rules, rates, addresses."""
    from .bandwidth import collect_ifbs

    config = BridgeConfig(call)
    valid = call.valid_attachments()
    containers = {container for container, _ in valid}
    # Rules first: an address that is free may be another pod's in a moment.
    if config.masquerade:
        from . import masquerade

        masquerade.collect(call.network, containers)
    if config.host_ports:
        from . import hostports

        hostports.collect(call.network, containers)
    collect_ifbs(call.network, valid)
    ipam.collect(call, valid)


def status(call: Call) -> None:
    """Whether an ADD would have a chance (SPEC 1.1, STATUS)."""
    BridgeConfig(call)
    if not ipam.has_room(call):
        raise CniError(PLUGIN_NOT_AVAILABLE, "no IP addresses available")


PLUGIN = Plugin("CNI plugin kubelab-bridge v0.1.0", ADD=add, DEL=delete, CHECK=check, GC=collect, STATUS=status)


def uplink_mtu(netlink: Netlink) -> int:
    """The MTU of the interface that leads out of the machine; 0 (the kernel's default) when there is none."""
    route = routes.way_to(netlink, _ANYWHERE)
    link = links.by_index(netlink, route.index) if route else None
    return link.mtu if link and not link.flags & links.IFF_LOOPBACK else 0


def plan_addresses(addresses: Result, config: BridgeConfig) -> Result:
    """The `ips` and `routes` of the container's interface: gateways and default routes filled in, as configured."""
    ips, found = [], list(addresses.get("routes", []))
    for ip in addresses["ips"]:
        address = parse_network(ip["address"])
        gateway = ip.get("gateway")
        ips.append({"address": ip["address"], **({"gateway": gateway} if gateway else {})})
        default = "::/0" if address.bits == 128 else "0.0.0.0/0"
        if config.default_gateway and not any(route["dst"] == default for route in found):
            found.append({"dst": default, "gw": gateway})
    return {"ips": ips, "routes": found}


def ensure_bridge(netlink: Netlink, config: BridgeConfig, mtu: int) -> links.Link:
    """The bridge, up; made when it is not there. Its own MTU follows its ports'."""
    bridge = links.find(netlink, config.bridge)
    if bridge is None:
        mac = ":".join(f"{byte:02x}" for byte in (0x0A, *os.urandom(5)))  # locally administered, unicast
        try:
            netlink.call(links.new_bridge(config.bridge, mtu, mac))
        except NetlinkError as error:
            if error.errno != _EEXIST:  # another pod's ADD was quicker
                raise CniError(IO_FAILURE, f'could not add "{config.bridge}": {error.strerror}') from None
        sysctls.ensure_if_present(f"net/ipv6/conf/{config.bridge}/accept_ra", "0")
        bridge = _found(netlink, config.bridge)
    if bridge.kind != "bridge":
        raise CniError(IO_FAILURE, f'"{config.bridge}" already exists but is not a bridge')
    if not bridge.up:
        netlink.call(links.set_up(bridge.index))
    if config.promiscuous and not bridge.flags & links.IFF_PROMISC:
        netlink.call(links.set_promiscuous(bridge.index))
    return bridge


def ensure_gateway(netlink: Netlink, bridge: links.Link, plan: Result, force: bool) -> None:
    """The machine answers for the pods' gateway addresses on the bridge and forwards what they send."""
    held = links.list_addresses(netlink, bridge.index)
    for ip in plan["ips"]:
        wanted = Network(parse_ip(ip["gateway"]), parse_network(ip["address"]).prefix)
        present = [Network(address.ip, address.prefix) for address in held if len(address.ip) == len(wanted.ip)]
        if not any((one.ip, one.prefix) == (wanted.ip, wanted.prefix) for one in present):
            for one in present:
                if wanted.bits == 128 and not one.overlaps(wanted):
                    continue
                if not force:
                    words = f'"{bridge.name}" already has an IP address different from {wanted}'
                    raise CniError(INTERFACE_MISMATCH, f"failed to set bridge addr: {words}")
                netlink.call(links.delete_address(bridge.index, one.ip, one.prefix))
            try:
                netlink.call(links.add_address(bridge.index, wanted.ip, wanted.prefix))
            except NetlinkError as error:
                if error.errno != _EEXIST:
                    raise
        if wanted.bits == 32:
            sysctls.ensure("net/ipv4/ip_forward", "1")
            # Without it, what is bridged between two pods of this machine passes by the service rules.
            sysctls.ensure_if_present("net/bridge/bridge-nf-call-iptables", "1")
        else:
            sysctls.ensure("net/ipv6/conf/all/forwarding", "1")
            sysctls.ensure_if_present("net/bridge/bridge-nf-call-ip6tables", "1")


def _ensure_rules(undo: Undo, call: Call, config: BridgeConfig, addresses: list[Network]) -> None:
    # Imported where they are needed: most pods need neither, and every import delays every pod.
    if config.masquerade:
        from . import masquerade

        undo.add(lambda: masquerade.remove(call.network, call.container, addresses))
        masquerade.ensure(call.network, call.container, addresses)
    if config.port_mappings:
        from . import hostports

        undo.add(lambda: hostports.remove(call.network, call.container))
        hostports.ensure(call.network, call.container, config.port_mappings, addresses)


def new_host_name() -> str:
    return f"veth{os.urandom(4).hex()}"


def _add_veth(
    netlink: Netlink, call: Call, config: BridgeConfig, host: str, bridge: links.Link, mtu: int, namespace: int
) -> None:
    try:
        netlink.call(links.new_veth(host, bridge.index, mtu, call.interface, namespace, config.mac))
    except ValueError as error:
        raise CniError(INVALID_CONFIG, str(error)) from None
    except NetlinkError as error:
        if error.errno == _EEXIST:
            words = f'container veth name ("{call.interface}") already exists'
            raise CniError(INTERFACE_MISMATCH, words) from None
        raise CniError(IO_FAILURE, f"failed to make veth pair: {error.strerror}") from None


def _configure_container(interface: str, plan: Result) -> str:
    """Address, up, routes, in that order; run inside the container's namespace. Returns the interface's MAC."""
    # Neighbours learn at once that an address has moved to a new interface.
    sysctls.ensure_if_present(f"net/ipv4/conf/{interface}/arp_notify", "1")
    if any(":" in ip["address"] for ip in plan["ips"]):
        for name in ("lo", interface):
            sysctls.ensure(f"net/ipv6/conf/{name}/disable_ipv6", "0")
        sysctls.ensure_if_present(f"net/ipv6/conf/{interface}/accept_dad", "0")
        # Its only router is the machine, which does not announce itself; whoever did would be another pod.
        sysctls.ensure_if_present(f"net/ipv6/conf/{interface}/accept_ra", "0")
        sysctls.ensure_if_present(f"net/ipv6/conf/{interface}/keep_addr_on_down", "1")
    with Netlink() as netlink:
        link = _found(netlink, interface)
        gateways: dict[int, bytes] = {}
        requests = []
        for ip in plan["ips"]:
            address = parse_network(ip["address"])
            requests.append(links.add_address(link.index, address.ip, address.prefix))
            if ip.get("gateway"):
                gateways.setdefault(address.bits, parse_ip(ip["gateway"]))
        requests.append(links.set_up(link.index))
        requests += [_route(route, link.index, gateways) for route in plan["routes"]]
        netlink.call(*requests)
        return link.mac


def _route(route: Result, index: int, gateways: dict[int, bytes]) -> Any:
    destination = parse_network(route["dst"])
    return routes.add_route(
        destination.network,
        destination.prefix,
        family=routes.AF_INET6 if destination.bits == 128 else routes.AF_INET,
        gateway=parse_ip(route["gw"]) if route.get("gw") else gateways.get(destination.bits, b""),
        index=index,
        metric=int(route.get("priority") or 0),
        table=int(route.get("table") or routes.RT_TABLE_MAIN),
        scope=route.get("scope"),
    )


def _wait_port_up(netlink: Netlink, name: str) -> None:
    """The kernel turns a port's carrier on from a work queue: return when it has."""
    deadline, pause = time.monotonic() + _PORT_WAIT, 0.0005
    while _found(netlink, name).operstate != links.OPERSTATE_UP:
        if time.monotonic() > deadline:
            raise CniError(TRY_AGAIN_LATER, f"bridge port in error state: {name} did not come up")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _found(netlink: Netlink, name: str) -> links.Link:
    link = links.find(netlink, name)
    if link is None:
        raise CniError(IO_FAILURE, f'failed to lookup "{name}": Link not found')
    return link


def _delete_link(netlink: Netlink, name: str) -> None:
    link = links.find(netlink, name)
    if link is not None:
        netlink.call(links.delete(link.index))


def _delete_here(name: str) -> None:
    with Netlink() as netlink:
        _delete_link(netlink, name)
