"""Which EndpointSlices to create, change or delete so that they list a Service's endpoints (KEP-752). Pure.

Slices hold endpoints with equal ports, at most MAX_ENDPOINTS each. Endpoints stay in the slice where they are, so that
a change of one pod rewrites one slice. A slice that nobody needs any more becomes one that is needed: who follows them
sees it change, and never a Service without endpoints in between.
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
    """What to write, in this order. `update` holds whole slices, with the resourceVersion they are based on.

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
    # Slices of an earlier Service of this name are the garbage collector's, which may come at any moment.
    ours = [each for each in existing if _is_of(service, each)]
    for family in families:
        wanted = _wanted(service, pods_here, family, nodes)
        of_family = [each for each in ours if each.get("addressType") == family]
        _hint(service, family, wanted, of_family, nodes, proportional, plan)
        _plan_family(service, family, wanted, of_family, plan)
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


@dataclass(slots=True)
class _Changes:
    """Of the slices of one family: to be made, to be written, no longer needed."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    obsolete: list[Object] = field(default_factory=list)


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
    changes = _Changes()
    for ports, endpoints in wanted.items():
        _plan_group(service, family, ports, endpoints, by_ports.pop(tuple(sorted(ports)), []), changes)
    for group in by_ports.values():
        changes.obsolete.extend(group)
    if len(changes.obsolete) == len(existing) and not changes.create:
        # Without any endpoint one empty slice stays, so that the Service is known to be served.
        empty = _new_slice(service, family, ())
        if [_facts(each) for each in changes.obsolete] == [_facts(empty)]:
            return
        changes.create.append(empty)
    while changes.create and changes.obsolete:
        changes.update.append(_reused(changes.obsolete.pop(0), changes.create.pop()))
    plan.create.extend(changes.create)
    plan.update.extend(changes.update)
    plan.delete.extend(changes.obsolete)


def _plan_group(
    service: Object,
    family: str,
    ports: Ports,
    wanted: Mapping[str, Object],
    existing: Sequence[Object],
    changes: _Changes,
) -> None:
    """New endpoints fill what is written anyway, the fullest first. The rest goes together into one slice: the
    fullest of the others that has room for it, or a new one."""
    left = dict(wanted)
    changed: list[Object] = []
    unchanged: list[Object] = []
    for each in existing:
        kept = [left.pop(uid) for old in each.get("endpoints") or () if (uid := _uid_of(old)) in left]
        written = {**each, "endpoints": kept, "metadata": {**each["metadata"], "labels": slice_labels(service)}}
        if not kept and each.get("endpoints"):
            changes.obsolete.append(each)
        elif _content(written) == _content(each):
            unchanged.append(written)
        else:
            changed.append(written)
    new = list(left.values())
    for each in sorted(changed, key=_fullness, reverse=True):
        _move(new, each)
    while new:
        fitting = [each for each in unchanged if _fullness(each) + len(new) <= MAX_ENDPOINTS]
        if fitting and len(new) < MAX_ENDPOINTS:
            filled = max(fitting, key=_fullness)
            unchanged.remove(filled)
            changed.append(filled)
        else:
            filled = _new_slice(service, family, ports)
            changes.create.append(filled)
        _move(new, filled)
    changes.update.extend(changed)


def _move(new: list[Object], each: Object) -> None:
    room = MAX_ENDPOINTS - _fullness(each)
    each["endpoints"] += new[:room]
    del new[:room]


def _fullness(each: Object) -> int:
    return len(each["endpoints"])


def _uid_of(endpoint: Object) -> str:
    return str((endpoint.get("targetRef") or {}).get("uid", ""))


def _reused(obsolete: Object, wanted: Object) -> Object:
    """The slice `obsolete` as it has to be written so that it is `wanted`."""
    metadata = {**obsolete["metadata"], "labels": wanted["metadata"]["labels"]}
    return {**obsolete, "metadata": metadata, "endpoints": wanted["endpoints"], "ports": wanted["ports"]}


def _new_slice(service: Object, family: str, ports: Ports) -> Object:
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
        "endpoints": [],
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


def _ports_of(existing: Object) -> Ports:
    """Sorted: their order makes no other slice."""
    ports = (
        (each.get("name") or "", each.get("protocol") or "TCP", each.get("port") or 0, each.get("appProtocol") or "")
        for each in existing.get("ports") or ()
    )
    return tuple(sorted(ports))


def _content(existing: Object) -> tuple[Any, ...]:
    return objects.labels(existing), existing.get("endpoints") or []


def _facts(existing: Object) -> tuple[Any, ...]:
    return *_content(existing), _ports_of(existing)
