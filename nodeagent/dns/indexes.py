"""By what the listers behind `records` are looked up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.meta import objects
from apimachinery.meta.endpoints import SERVICE_NAME

Object = dict[str, Any]

BY_ADDRESS, BY_SERVICE = "address", "service"


def service_addresses(service: Object) -> Iterable[str]:
    """Index function: the cluster addresses of a Service; "None" is no address."""
    return [
        ip
        for ip in service["spec"].get("clusterIPs") or [service["spec"].get("clusterIP")]
        if ip not in (None, "", "None")
    ]


def slice_service(slice_: Object) -> Iterable[str]:
    """Index function: `namespace/name` of the Service that an EndpointSlice belongs to."""
    name = objects.labels(slice_).get(SERVICE_NAME)
    return [f"{objects.namespace(slice_)}/{name}"] if name else []


def slice_addresses(slice_: Object) -> Iterable[str]:
    """Index function: the addresses of an EndpointSlice."""
    return {address for endpoint in slice_.get("endpoints") or () for address in endpoint["addresses"]}


def pod_addresses(pod: Object) -> Iterable[str]:
    """Index function: the addresses of a Pod that has not ended."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return []
    return [one["ip"] for one in status.get("podIPs") or () if one.get("ip")]
