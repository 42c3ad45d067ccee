"""What the API knows, indexed for the questions that are asked here. Pure; objects are never changed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import objects
from apimachinery.meta.endpoints import SERVICE_NAME
from nodeagent.routes.nodes import node_network

from .snapshot import NodeSnapshot
from .world import World

Object = dict[str, Any]
_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Every object of these kinds."""

    pods: Sequence[Object] = ()
    services: Sequence[Object] = ()
    slices: Sequence[Object] = ()
    nodes: Sequence[Object] = ()
    policies: Sequence[Object] = ()
    namespaces: Sequence[Object] = ()

    def node(self, name: str) -> Object | None:
        return next((one for one in self.nodes if objects.name(one) == name), None)

    def pod(self, namespace: str, name: str) -> Object | None:
        return _named(self.pods, namespace, name)

    def service(self, namespace: str, name: str) -> Object | None:
        return _named(self.services, namespace, name)

    def live_pods(self) -> Iterable[Object]:
        return (one for one in self.pods if (one.get("status") or {}).get("phase") not in _OVER)

    def pod_with(self, ip: str) -> Object | None:
        """The pod of that address; none on the node's own network, which many share."""
        own = (one for one in self.live_pods() if not (one.get("spec") or {}).get("hostNetwork"))
        return next((one for one in own if ip in pod_ips(one)), None)

    def service_with(self, ip: str) -> Object | None:
        return next((one for one in self.services if ip in service_ips(one)), None)

    def node_with(self, ip: str) -> Object | None:
        return next((one for one in self.nodes if ip in node_ips(one)), None)

    def slices_of(self, service: Object) -> list[Object]:
        return [
            one
            for one in self.slices
            if objects.namespace(one) == objects.namespace(service)
            and objects.labels(one).get(SERVICE_NAME) == objects.name(service)
        ]

    def services_on_node_port(self, port: int, protocol: str) -> list[Object]:
        return [
            one
            for one in self.services
            for said in (one.get("spec") or {}).get("ports") or ()
            if said.get("nodePort") == port and str(said.get("protocol") or "TCP").lower() == protocol
        ]

    def pods_on_host_port(self, node: str, port: int, protocol: str) -> list[Object]:
        """Those of the node that have its port, hostPort, lead to them."""
        return [
            one
            for one in self.live_pods()
            if (spec := one.get("spec") or {}).get("nodeName") == node
            for container in spec.get("containers") or ()
            for said in container.get("ports") or ()
            if said.get("hostPort") == port and str(said.get("protocol") or "TCP").lower() == protocol
        ]

    def world(self, nodes: Mapping[str, NodeSnapshot], unread: Mapping[str, str], family: int) -> World:
        """What a walk needs to know of all this."""
        pods = {ip: objects.key(one) for one in self.live_pods() for ip in pod_ips(one) if self.pod_with(ip) is one}
        taken: set[str] = set()
        for node in nodes.values():
            for pod in node.pods:
                known = next((pods[one.ip] for one in pod.addresses if one.ip in pods), "")
                # A second one with the same address is called by its namespace.
                pod.label = f"pod {known}" if known and known not in taken else f"namespace {pod.netns}"
                taken.add(known)
        below = {
            name: NodeSnapshot(name, node.carrier, [], [], None)
            for name, node in nodes.items()
            if node.carrier is not None
        }
        return World(
            nodes=dict(nodes),
            under=self.world(below, unread, 10 - family) if below else None,
            unread=unread,
            node_addresses={objects.name(one): next(iter(node_ips(one, family)), "") for one in self.nodes},
            pod_names=pods,
            service_names={ip: objects.key(one) for one in self.services for ip in service_ips(one)},
            backends=frozenset(ip for one in self.slices for entry in endpoints(one) for ip in entry),
            pod_networks=tuple(cidr for one in self.nodes for cidr in node_network(one).pod_cidrs),
        )


def pod_ips(pod: Object) -> tuple[str, ...]:
    status = pod.get("status") or {}
    return tuple(str(one["ip"]) for one in status.get("podIPs") or () if one.get("ip")) or tuple(
        filter(None, (status.get("podIP"),))
    )


def service_ips(service: Object) -> tuple[str, ...]:
    """Cluster, external and balancer addresses."""
    spec, status = service.get("spec") or {}, service.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    said = (
        *(spec.get("clusterIPs") or (spec.get("clusterIP"),)),
        *(spec.get("externalIPs") or ()),
        *(one.get("ip") for one in ingress),
    )
    return tuple(str(ip) for ip in said if ip and ip != "None")


def node_ips(node: Object, family: int | None = None) -> tuple[str, ...]:
    said = (node.get("status") or {}).get("addresses") or ()
    found = [str(one["address"]) for one in said if one.get("type") in ("InternalIP", "ExternalIP")]
    return tuple(ip for ip in found if family is None or family_of(ip) == family)


def endpoints(endpoint_slice: Object) -> Iterable[tuple[str, ...]]:
    """The addresses of each endpoint, whatever its condition."""
    return (tuple(map(str, entry.get("addresses") or ())) for entry in endpoint_slice.get("endpoints") or ())


def endpoint_nodes(slices: Iterable[Object]) -> set[str]:
    return {str(entry["nodeName"]) for one in slices for entry in one.get("endpoints") or () if entry.get("nodeName")}


def family_of(ip: str) -> int:
    return ipaddress.ip_address(ip).version


def _named(all_of_them: Iterable[Object], namespace: str, name: str) -> Object | None:
    return next((one for one in all_of_them if (objects.namespace(one), objects.name(one)) == (namespace, name)), None)
