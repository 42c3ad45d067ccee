"""How endpoints are packed into EndpointSlices (KEP-752). Pure.

Slices hold endpoints with equal ports, at most so many each. Endpoints stay in the slice where they are, so that
a change of one pod rewrites one slice. A slice that nobody needs any more becomes one that is needed: who follows them
sees it change, and never a Service without endpoints in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.api.catalogue import SERVICES
from apimachinery.controller.owners import owner_reference
from apimachinery.meta import objects
from apimachinery.meta.endpoints import HEADLESS, SERVICE_NAME
from controlplane.controllers.endpoints_of_pods import MANAGED_BY, is_headless, render_ports

Object = dict[str, Any]
Ports = tuple[tuple[str, str, int, str], ...]

MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100


@dataclass(slots=True)
class Changes:
    """Of the slices of one family: to be made, to be written, no longer needed."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    obsolete: list[Object] = field(default_factory=list)


def pack_family(
    service: Object,
    family: str,
    wanted: Mapping[Ports, Mapping[str, Object]],
    existing: Sequence[Object],
    most: int = MAX_ENDPOINTS,
) -> Changes:
    """Compare the wanted endpoints of a family, by pod uid and by ports, with its slices. most: endpoints of one."""
    by_ports: dict[Ports, list[Object]] = {}
    for each in existing:
        by_ports.setdefault(_ports_of(each), []).append(each)
    changes = Changes()
    for ports, endpoints in wanted.items():
        _pack_group(service, family, ports, endpoints, by_ports.pop(tuple(sorted(ports)), []), most, changes)
    for group in by_ports.values():
        changes.obsolete.extend(group)
    if len(changes.obsolete) == len(existing) and not changes.create:
        # Without any endpoint one empty slice stays, so that the Service is known to be served.
        empty = _new_slice(service, family, ())
        if [_facts(each) for each in changes.obsolete] == [_facts(empty)]:
            return Changes()
        changes.create.append(empty)
    while changes.create and changes.obsolete:
        changes.update.append(_reused(changes.obsolete.pop(0), changes.create.pop()))
    return changes


def _pack_group(
    service: Object,
    family: str,
    ports: Ports,
    wanted: Mapping[str, Object],
    existing: Sequence[Object],
    most: int,
    changes: Changes,
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
        _move(new, each, most)
    while new:
        fitting = [each for each in unchanged if _fullness(each) + len(new) <= most]
        if fitting and len(new) < most:
            filled = max(fitting, key=_fullness)
            unchanged.remove(filled)
            changed.append(filled)
        else:
            filled = _new_slice(service, family, ports)
            changes.create.append(filled)
        _move(new, filled, most)
    changes.update.extend(changed)


def _move(new: list[Object], each: Object, most: int) -> None:
    room = max(0, most - _fullness(each))  # it may be fuller, from when slices might be
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
