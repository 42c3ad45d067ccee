"""Which EndpointSlices to create, change or delete so that they list a Service's endpoints (KEP-752). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.meta import objects, pods
from controlplane.controllers.endpoint_hints import Event, Unfit, give_hints, is_proportional, weigh_zones
from controlplane.controllers.endpoints_of_pods import (
    ZONE,
    belongs,
    hostname_in,
    is_of_family,
    pod_ips,
    resolve_ports,
    target_ref,
)
from controlplane.controllers.endpointslice_packing import MAX_ENDPOINTS, Ports, pack_family

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """What to write, in this order. `update` holds whole slices, with the resourceVersion they are based on.

    events: about the Service. proportional: endpoints have hints in proportion to zones, for the families that could.
    unplaced: pods that are left out, because there is no Node of theirs: nobody can say whether they still run.
    """

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    proportional: set[str] = field(default_factory=set)
    unplaced: list[Object] = field(default_factory=list)


def render_endpoint(service: Object, pod: Object, addresses: Sequence[str], nodes: Mapping[str, Object]) -> Object:
    """Return the endpoint of one pod (KEP-1672: ready, serving and terminating)."""
    serving, terminating = pods.is_ready(pod), objects.is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    endpoint: Object = {
        "addresses": list(addresses),
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target_ref(pod),
    }
    if node_name := pods.node_name(pod):
        endpoint["nodeName"] = node_name
        zone = objects.labels(nodes[node_name]).get(ZONE) if node_name in nodes else None
        if zone:
            endpoint["zone"] = zone
    if hostname := hostname_in(service, pod):
        endpoint["hostname"] = hostname
    return endpoint


def plan_slices(
    service: Object,
    selected: Iterable[Object],
    existing: Sequence[Object],
    nodes: Mapping[str, Object],
    proportional: Collection[str] = (),
    most: int = MAX_ENDPOINTS,
) -> SlicePlan:
    """Compare wanted endpoints with the slices we manage.

    selected: the pods that the Service selects. existing: our slices of this Service. nodes: by name, for the zones.
    proportional: what the plan before this one said of itself. most: endpoints that a slice may have.
    """
    plan = SlicePlan()
    pods_here = [pod for pod in selected if belongs(pod)]
    if not service["spec"].get("publishNotReadyAddresses"):
        plan.unplaced.extend(pod for pod in pods_here if pods.node_name(pod) not in nodes)
        pods_here = [pod for pod in pods_here if pods.node_name(pod) in nodes]
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    # Slices of an earlier Service of this name are the garbage collector's, which may come at any moment.
    ours = [each for each in existing if _is_of(service, each)]
    for family in families:
        wanted = _wanted(service, pods_here, family, nodes)
        of_family = [each for each in ours if each.get("addressType") == family]
        _hint(service, family, wanted, of_family, nodes, proportional, plan)
        changes = pack_family(service, family, wanted, of_family, most)
        plan.create.extend(changes.create)
        plan.update.extend(changes.update)
        plan.delete.extend(changes.obsolete)
    plan.delete.extend(each for each in ours if each.get("addressType") not in families)
    plan.delete.extend(each for each in existing if not _is_of(service, each))
    if objects.is_deleting(service):
        plan.create.clear()  # the garbage collector would meet them one by one
    return plan


def _is_of(service: Object, each: Object) -> bool:
    owners = each["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == objects.uid(service) and owner.get("kind") == "Service" for owner in owners)


def _wanted(
    service: Object, selected: Iterable[Object], family: str, nodes: Mapping[str, Object]
) -> dict[Ports, dict[str, Object]]:
    """Return endpoints by pod uid, by ports."""
    found: dict[Ports, dict[str, Object]] = {}
    for pod in selected:
        addresses = [ip for ip in pod_ips(pod) if is_of_family(ip, family)]
        if addresses:
            endpoint = render_endpoint(service, pod, addresses, nodes)
            found.setdefault(resolve_ports(service, pod), {})[objects.uid(pod)] = endpoint
    return found


def _hint(
    service: Object,
    family: str,
    wanted: Mapping[Ports, Mapping[str, Object]],
    existing: Sequence[Object],
    nodes: Mapping[str, Object],
    proportional: Collection[str],
    plan: SlicePlan,
) -> None:
    """Write hints into the endpoints of a family; what there is to say of it becomes an event, in upstream's words."""
    endpoints = {uid: each for of_ports in wanted.values() for uid, each in of_ports.items()}
    asked = is_proportional(service)
    zones = weigh_zones(nodes.values()) if asked else None
    problem = "Topology Aware Hints has been disabled" if family in proportional else ""
    try:
        give_hints(service, endpoints, _hinted(existing), zones)
    except Unfit as unfit:
        problem = str(unfit)
    else:
        if asked:
            problem = ""
            plan.proportional.add(family)
    if problem:
        plan.events.append(("Warning", "TopologyAwareHintsDisabled", f"{problem}, addressType: {family}"))
    elif asked and family not in proportional:
        message = f"Topology Aware Hints has been enabled, addressType: {family}"
        plan.events.append(("Normal", "TopologyAwareHintsEnabled", message))


def _hinted(existing: Sequence[Object]) -> dict[str, str]:
    """The zones that endpoints are hinted for, by pod uid."""
    return {
        (endpoint.get("targetRef") or {}).get("uid", ""): zones[0]["name"]
        for each in existing
        for endpoint in each.get("endpoints") or ()
        if (zones := (endpoint.get("hints") or {}).get("forZones"))
    }
