"""What the Endpoints of a Service list (pkg/controller/endpoint, pkg/api/v1/endpoints). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apimachinery.meta import objects, pods
from apimachinery.meta.endpoints import HEADLESS
from controlplane.controllers.endpoints_of_pods import (
    belongs,
    hostname_in,
    is_headless,
    is_of_family,
    pod_ips,
    render_ports,
    resolve_ports,
    target_ref,
)
from controlplane.controllers.trigger_times import with_last_change

Object = dict[str, Any]
Port = tuple[str, str, int, str]

MAX_ADDRESSES = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"

_Place = tuple[str, str, bool]  # an address: its IP, the uid of its pod, and whether it is ready


def compute_subsets(service: Object, selected: Iterable[Object]) -> list[Object]:
    """Return the subsets that list the selected pods, all of them.

    Ports that the same addresses serve share a subset: where pods resolve a named port to different numbers, those
    numbers have a subset each, and the other ports one of all pods. Pods that are being deleted are left out, unless
    the Service publishes what is not ready. Addresses are of the Service's first family.
    """
    publish, ports = bool(service["spec"].get("publishNotReadyAddresses")), service["spec"].get("ports")
    addresses: dict[_Place, Object] = {}
    served: dict[Port | None, set[_Place]] = {}
    for pod in selected:
        if not belongs(pod) or (objects.is_deleting(pod) and not publish):
            continue
        address = render_address(service, pod)
        if address is None:
            continue
        place = (address["ip"], objects.uid(pod), publish or pods.is_ready(pod))
        addresses[place] = address
        for port in resolve_ports(service, pod) if ports or not is_headless(service) else (None,):
            served.setdefault(port, set()).add(place)
    alike: dict[frozenset[_Place], list[Port]] = {}
    for port, places in served.items():
        alike.setdefault(frozenset(places), []).extend([port] if port is not None else [])
    groups = sorted((sorted(group), sorted(places)) for places, group in alike.items())
    return [_render_subset(group, places, addresses) for group, places in groups]


def render_address(service: Object, pod: Object) -> Object | None:
    """Return the pod's address as Endpoints list it; None when it has none of the Service's first family."""
    ips = pod_ips(pod)
    family = (service["spec"].get("ipFamilies") or (None,))[0]
    ip = next((each for each in ips if family is None or is_of_family(each, family)), None)
    if ip is None:
        return None
    address: Object = {"ip": ip, "targetRef": target_ref(pod)}
    if node := pods.node_name(pod):
        address["nodeName"] = node
    if hostname := hostname_in(service, pod):
        address["hostname"] = hostname
    return address


def _render_subset(ports: Sequence[Port], places: Sequence[_Place], addresses: Mapping[_Place, Object]) -> Object:
    ready = [addresses[place] for place in places if place[2]]
    unready = [addresses[place] for place in places if not place[2]]
    subset: Object = {}
    if ready:
        subset["addresses"] = ready
    if unready:
        subset["notReadyAddresses"] = unready
    if ports:
        subset["ports"] = render_ports(tuple(ports), keep_empty_name=False)
    return subset


def truncate_subsets(subsets: list[Object]) -> tuple[list[Object], bool]:
    """Return the subsets with MAX_ADDRESSES addresses at most, and whether addresses were left out.

    Ready ones come first; each subset keeps its share, rounded up, so that the last one may get less.
    """
    ready = sum(len(each.get("addresses") or ()) for each in subsets)
    unready = sum(len(each.get("notReadyAddresses") or ()) for each in subsets)
    if ready + unready <= MAX_ADDRESSES:
        return subsets, False
    cut, total, room = "addresses", ready, MAX_ADDRESSES
    if ready <= MAX_ADDRESSES:
        cut, total, room = "notReadyAddresses", unready, MAX_ADDRESSES - ready
    left, found = room, []
    for subset in subsets:
        of_kind = subset.get(cut) or []
        kept = of_kind[: min(left, math.ceil(len(of_kind) / total * room))]
        left -= len(kept)
        gone = {"addresses", "notReadyAddresses"} if cut == "addresses" else {cut}
        rest = {key: value for key, value in subset.items() if key not in gone}
        if kept or "addresses" in rest:
            found.append({**rest, **({cut: kept} if kept else {})})
    return found, True


def plan_endpoints(
    service: Object, current: Object | None, selected: Iterable[Object], last_change: str
) -> Object | None:
    """Return the Endpoints as they should be written; None when they need not be.

    current: what is there. last_change: when what they list became true, an RFC 3339 text, or "" when nobody knows.
    """
    subsets, truncated = truncate_subsets(compute_subsets(service, selected))
    labels = {key: value for key, value in objects.labels(service).items() if key != HEADLESS}
    if is_headless(service):
        labels[HEADLESS] = ""
    capacity = {OVER_CAPACITY: "truncated"} if truncated else {}
    metadata: Object = current["metadata"] if current is not None else {}
    notes = metadata.get("annotations") or {}
    there = (metadata.get("labels") or {}, notes.get(OVER_CAPACITY), (current or {}).get("subsets") or [])
    if current is not None and there == (labels, capacity.get(OVER_CAPACITY), subsets):
        return None
    others = {key: value for key, value in notes.items() if key != OVER_CAPACITY}
    metadata = with_last_change({**metadata, "annotations": others | capacity}, last_change)
    metadata |= {"name": objects.name(service), "namespace": objects.namespace(service), "labels": labels}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
