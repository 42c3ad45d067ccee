"""Which EndpointSlices to create, change or delete so that they list a Service's endpoints (KEP-752). Pure.

Slices hold endpoints with equal ports, at most MAX_ENDPOINTS each. Endpoints stay in the slice where they are, so that
a change of one pod rewrites one slice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.api.catalogue import SERVICES
from apimachinery.controller.owners import owner_reference
from apimachinery.meta import objects, pods
from apimachinery.meta.endpoints import HEADLESS, SERVICE_NAME
from controlplane.controllers.endpoint_hints import Event, Unfit, give_hints, is_proportional, weigh_zones
from controlplane.controllers.endpoints_of_pods import (
    MANAGED_BY,
    ZONE,
    belongs,
    hostname_in,
    is_headless,
    is_of_family,
    pod_ips,
    render_ports,
    resolve_ports,
    target_ref,
)

Object = dict[str, Any]
Ports = tuple[tuple[str, str, int, str], ...]

MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """What to write. `update` holds whole slices, with the resourceVersion they are based on.

    events: about the Service. proportional: endpoints have hints in proportion to zones, for the families that could.
    """

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    proportional: set[str] = field(default_factory=set)


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
) -> SlicePlan:
    """Compare wanted endpoints with the slices we manage.

    selected: the pods that the Service selects. existing: our slices of this Service. nodes: by name, for the zones.
    proportional: what the plan before this one said of itself.
    """
    plan = SlicePlan()
    pods_here = [pod for pod in selected if belongs(pod)]
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    for family in families:
        wanted = _wanted(service, pods_here, family, nodes)
        of_family = [each for each in existing if each.get("addressType") == family]
        _hint(service, family, wanted, of_family, nodes, proportional, plan)
        _plan_family(service, family, wanted, of_family, plan)
    plan.delete.extend(each for each in existing if each.get("addressType") not in families)
    return plan


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


def _plan_family(
    service: Object,
    family: str,
    wanted: Mapping[Ports, Mapping[str, Object]],
    existing: Sequence[Object],
    plan: SlicePlan,
) -> None:
    by_ports: dict[Ports, list[Object]] = {}
    for each in existing:
        by_ports.setdefault(_ports_of(each), []).append(each)
    # Without any endpoint one empty slice stays, so that the Service is known to be served.
    groups: Mapping[Ports, Mapping[str, Object]] = wanted or {(): {}}
    for ports, endpoints in groups.items():
        _plan_group(service, family, ports, endpoints, by_ports.pop(ports, []), plan, placeholder=not wanted)
    for obsolete in by_ports.values():
        plan.delete.extend(obsolete)


def _plan_group(
    service: Object,
    family: str,
    ports: Ports,
    wanted: Mapping[str, Object],
    existing: Sequence[Object],
    plan: SlicePlan,
    *,
    placeholder: bool,
) -> None:
    left = dict(wanted)
    kept: list[tuple[Object, list[Object]]] = []
    for each in existing:
        endpoints = [
            left.pop(uid)
            for old in each.get("endpoints") or ()
            if (uid := (old.get("targetRef") or {}).get("uid", "")) in left
        ]
        kept.append((each, endpoints))
    new = list(left.values())
    # New endpoints go where something changes anyway, then into the fullest slice with room.
    for _, endpoints in sorted(kept, key=lambda pair: (not _shrank(*pair), -len(pair[1]))):
        room = MAX_ENDPOINTS - len(endpoints)
        endpoints += new[:room]
        del new[:room]
    for each, endpoints in kept:
        if not endpoints and not (placeholder and each is kept[0][0]):
            plan.delete.append(each)
            continue
        changed = {**each, "endpoints": endpoints, "metadata": _metadata(service, each)}
        if _content(changed) != _content(each):
            plan.update.append(changed)
    missing = placeholder and not kept
    while new or missing:
        plan.create.append(_new_slice(service, family, ports, new[:MAX_ENDPOINTS]))
        del new[:MAX_ENDPOINTS]
        missing = False


def _shrank(existing: Object, endpoints: Sequence[Object]) -> bool:
    return len(endpoints) < len(existing.get("endpoints") or ())


def _new_slice(service: Object, family: str, ports: Ports, endpoints: list[Object]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{objects.name(service)}-",
            "namespace": objects.namespace(service),
            "labels": slice_labels(service),
            "ownerReferences": [owner_reference(service, SERVICES)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": render_ports(ports, keep_empty_name=True),
    }


def slice_labels(service: Object) -> dict[str, str]:
    """Return the labels of the Service's slices: its own, and the three that name service and manager."""
    labels = {k: v for k, v in objects.labels(service).items() if k not in (HEADLESS, MANAGED_BY, SERVICE_NAME)}
    labels[SERVICE_NAME] = objects.name(service)
    labels[MANAGED_BY] = MANAGER
    if is_headless(service):
        labels[HEADLESS] = ""
    return labels


def _metadata(service: Object, existing: Object) -> Object:
    return {**existing["metadata"], "labels": slice_labels(service)}


def _ports_of(existing: Object) -> Ports:
    return tuple(
        (port.get("name") or "", port.get("protocol") or "TCP", int(port["port"]), port.get("appProtocol") or "")
        for port in existing.get("ports") or ()
    )


def _content(existing: Object) -> tuple[Any, ...]:
    return objects.labels(existing), existing.get("endpoints") or []
