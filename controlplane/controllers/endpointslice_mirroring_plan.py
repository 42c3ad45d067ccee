"""Which EndpointSlices mirror Endpoints (pkg/controller/endpointslicemirroring, KEP-752). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apimachinery.api.catalogue import ENDPOINTS
from apimachinery.controller.owners import owner_reference
from apimachinery.meta import objects
from apimachinery.meta.addresses import parse_ip
from apimachinery.meta.endpoints import HEADLESS, LAST_CHANGE, SERVICE_NAME
from controlplane.controllers.endpoints_of_pods import LEADER, MANAGED_BY
from controlplane.controllers.endpointslice_plan import SlicePlan

Object = dict[str, Any]
Key = tuple[str, tuple[tuple[str, str, int, str], ...]]  # the family of the addresses, and the ports
_Ends = dict[tuple[Any, ...], Object]  # endpoints by what makes them one: address, hostname, what they refer to

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_NOT_COPIED = (LAST_CHANGE, "kubectl.kubernetes.io/last-applied-configuration")
# Of one subset, and of one slice; upstream's --mirroring-max-endpoints-per-subset.
MAX_ENDPOINTS = 1000


def is_mirrored(endpoints: Object) -> bool:
    """Tell whether the Endpoints ask for slices: not those of leader elections, and of whom makes slices itself."""
    return objects.labels(endpoints).get(SKIP) != "true" and LEADER not in objects.annotations(endpoints)


def plan_mirrors(endpoints: Object | None, existing: Sequence[Object]) -> SlicePlan:
    """Compare what the Endpoints say with our slices of them. endpoints: None for those that are not mirrored.

    The plan's events are about the Endpoints. A slice that nobody needs any more becomes one that is needed.
    """
    plan, left = SlicePlan(), list(existing)
    missing: list[Object] = []
    for key, ends in (_wanted(endpoints, plan) if endpoints is not None else {}).items():
        assert endpoints is not None
        wanted = _render(endpoints, key, [*ends.values()][:MAX_ENDPOINTS])
        found = next((each for each in left if _key(each) == key), None)
        if found is None:
            missing.append(wanted)
            continue
        left.remove(found)
        if _facts(found) != _facts(wanted):
            plan.update.append(_changed(found, wanted))
    for wanted in missing:
        found = next((each for each in left if each["addressType"] == wanted["addressType"]), None)
        if found is not None:
            left.remove(found)
            plan.update.append(_changed(found, wanted))
        elif endpoints is not None and not objects.is_deleting(endpoints):
            plan.create.append(wanted)
    plan.delete.extend(left)
    return plan


def _wanted(endpoints: Object, plan: SlicePlan) -> dict[Key, _Ends]:
    """Return the endpoints of each slice. What is left out becomes an event, in upstream's words."""
    found: dict[Key, _Ends] = {}
    invalid = skipped = 0
    for subset in endpoints.get("subsets") or ():
        added = 0
        for address, ready in _addresses(subset):
            ip = parse_ip(address["ip"]) if added < MAX_ENDPOINTS else None
            if ip is None:
                skipped, invalid = skipped + 1, invalid + (added < MAX_ENDPOINTS)
                continue
            added += 1
            end: Object = {"addresses": [str(ip)], "conditions": {"ready": ready}}
            end |= {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
            target: Mapping[str, Any] = end.get("targetRef") or {}
            same = (str(ip), end.get("hostname"), target.get("namespace"), target.get("name"))
            found.setdefault((f"IPv{ip.version}", _ports(subset)), {})[same] = end
    if invalid:
        message = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
        plan.events.append(("Warning", "InvalidIPAddress", message))
    if skipped > invalid:
        message = f"A max of {MAX_ENDPOINTS} addresses can be mirrored to EndpointSlices per Endpoints subset."
        plan.events.append(("Warning", "TooManyAddressesToMirror", f"{message} {skipped} addresses were skipped"))
    return found


def _changed(found: Object, wanted: Object) -> Object:
    """The slice `found` as it has to be written so that it says what `wanted` does."""
    metadata = {**found["metadata"], **{kind: wanted["metadata"][kind] for kind in ("labels", "annotations")}}
    return {**found, "metadata": metadata, "endpoints": wanted["endpoints"], "ports": wanted["ports"]}


def _addresses(subset: Object) -> Iterator[tuple[Object, bool]]:
    yield from ((address, True) for address in subset.get("addresses") or ())
    yield from ((address, False) for address in subset.get("notReadyAddresses") or ())


def _ports(holder: Object) -> tuple[tuple[str, str, int, str], ...]:
    ports = (
        (each.get("name") or "", each.get("protocol") or "TCP", each.get("port") or 0, each.get("appProtocol") or "")
        for each in holder.get("ports") or ()
    )
    return tuple(sorted(ports))


def _key(each: Object) -> Key:
    return each["addressType"], _ports(each)


def _render(endpoints: Object, key: Key, ends: list[Object]) -> Object:
    family, ports = key
    name = objects.name(endpoints)
    kept = {label: value for label, value in objects.labels(endpoints).items() if label != HEADLESS}
    notes = {key: value for key, value in objects.annotations(endpoints).items() if key not in _NOT_COPIED}
    metadata = {
        "generateName": f"{name}-",
        "namespace": objects.namespace(endpoints),
        "labels": {**kept, SERVICE_NAME: name, MANAGED_BY: MANAGER},
        "annotations": notes,
        "ownerReferences": [owner_reference(endpoints, ENDPOINTS)],
    }
    rendered = [
        {"name": name, "protocol": protocol, "port": port, **({"appProtocol": application} if application else {})}
        for name, protocol, port, application in ports
    ]
    return {"metadata": metadata, "addressType": family, "endpoints": ends, "ports": rendered}


def _facts(each: Object) -> tuple[Any, ...]:
    """What of a slice follows from the Endpoints."""
    ends = [
        (
            end["addresses"],
            end["conditions"].get("ready"),
            *(end.get(key) for key in ("hostname", "nodeName", "targetRef")),
        )
        for end in each.get("endpoints") or ()
    ]
    return objects.labels(each), objects.annotations(each), ends
