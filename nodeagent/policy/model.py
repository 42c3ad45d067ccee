"""What the plan needs to know of pods and policies, and nothing else (networking.k8s.io/v1, NetworkPolicy)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import objects
from apimachinery.meta.addresses import plain_network
from apimachinery.meta.pods import MIRROR

Object = dict[str, Any]

INGRESS, EGRESS = "ingress", "egress"
_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with an address of its own. ports: (name, protocol, number) of its containers, in order."""

    namespace: str
    name: str
    node: str
    labels: Mapping[str, str]
    ips: tuple[str, ...]
    ports: tuple[tuple[str, str, int], ...]


def status_ips(obj: Object) -> tuple[str, ...]:
    """The addresses that a pod's status tells, as far as they are any."""
    told = (obj.get("status") or {}).get("podIPs") or ()
    return tuple(str(ip) for one in told if (ip := _address(one.get("ip"))))


def read_pod(obj: Object, ips: tuple[str, ...] | None = None) -> Pod | None:
    """None for a pod that no policy concerns: on the node's own network, ended, or without an address yet.

    ips: the pod's addresses, where they are better known than by its status."""
    spec, status = obj["spec"], obj.get("status") or {}
    if spec.get("hostNetwork") or status.get("phase") in _OVER:
        return None
    ips = status_ips(obj) if ips is None else ips
    if not ips:
        return None
    ports = tuple(
        (port.get("name") or "", str(port.get("protocol") or "TCP"), int(port["containerPort"]))
        for container in (*_sidecars(spec), *spec["containers"])
        for port in container.get("ports") or ()
    )
    return Pod(objects.namespace(obj), objects.name(obj), spec.get("nodeName") or "", objects.labels(obj), ips, ports)


def trim_pod(obj: Object) -> Object:
    """What an informer keeps of a pod: as much as `read_pod` reads. Most of a pod's bytes are elsewhere."""
    meta, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    kept = {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "labels") if key in meta}
    if mirror := (meta.get("annotations") or {}).get(MIRROR):
        kept["annotations"] = {MIRROR: mirror}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": kept,
        "spec": {
            "nodeName": spec.get("nodeName"),
            "hostNetwork": spec.get("hostNetwork", False),
            "containers": [_trim_container(one) for one in (*_sidecars(spec), *spec["containers"])],
        },
        "status": {"phase": status.get("phase"), "podIPs": status.get("podIPs") or []},
    }


def policy_types(spec: Mapping[str, Any]) -> frozenset[str]:
    """Which directions a policy isolates: what it says, else ingress always and egress where it has such rules."""
    said = spec.get("policyTypes")
    if said:
        return frozenset(str(one).lower() for one in said)
    return frozenset((INGRESS, EGRESS) if spec.get("egress") else (INGRESS,))


def block_networks(block: Mapping[str, Any]) -> Sequence[str]:
    """An ipBlock as networks that do not overlap, its exceptions taken out; none where it cannot be read."""
    found = [plain_network(str(text)) for text in (block.get("cidr"), *(block.get("except") or ()))]
    if None in found:
        return ()
    left: list[Any] = found[:1]
    for hole in found[1:]:
        left = [piece for network in left for piece in _without(network, hole)]
    return [str(network) for network in sorted(left)]


def _without(network: Any, hole: Any) -> Iterable[Any]:
    if network.version != hole.version or not network.overlaps(hole):
        return (network,)
    return () if network.subnet_of(hole) else network.address_exclude(hole)


def _sidecars(spec: Mapping[str, Any]) -> list[Object]:
    """Init containers that keep running: their ports have names too."""
    return [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]


def _trim_container(container: Object) -> Object:
    return {"name": container["name"], "ports": container.get("ports") or []}


def _address(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for what is none, and for one with a zone, which means something on one machine only."""
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else address
