"""From a Service and its pods to endpoints: shared by the EndpointSlice and the Endpoints controller. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, pods
from apimachinery.meta.endpoints import SERVICE_NAME
from apimachinery.meta.labels import Selector

Object = dict[str, Any]

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
ZONE = "topology.kubernetes.io/zone"
LEADER = "control-plane.alpha.kubernetes.io/leader"


def service_selector(service: Object) -> Selector | None:
    """Return the Service's selector; None when it has none, and its endpoints are someone else's business."""
    selector = service["spec"].get("selector")
    return label_selectors.from_set(selector) if selector else None


def slice_keys(each: Object, manager: str) -> list[str]:
    """Return the key of the Service, and of its Endpoints, that a slice of `manager` is of: an index function."""
    labels = objects.labels(each)
    if labels.get(MANAGED_BY) != manager or SERVICE_NAME not in labels:
        return []
    return [f"{objects.namespace(each)}/{labels[SERVICE_NAME]}"]


def belongs(pod: Object) -> bool:
    """Tell whether the pod is an endpoint: it has an address and will run (again)."""
    return bool(pod_ips(pod)) and not pods.is_terminal(pod)


def pod_ips(pod: Object) -> list[str]:
    """Return the pod's addresses, the primary one first."""
    status = pod.get("status") or {}
    primary = [status["podIP"]] if status.get("podIP") else []
    return [each["ip"] for each in status.get("podIPs") or ()] or primary


def is_of_family(ip: str, family: str) -> bool:
    """Tell whether an address is of the family IPv4 or IPv6."""
    return (":" in ip) == (family == "IPv6")


def target_port(service_port: Object, pod: Object) -> int | None:
    """Resolve a Service port to the pod's port: a number, or the name of a container port. None when it has none."""
    target = service_port.get("targetPort") or service_port["port"]
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol") or "TCP"
    for container in _serving_containers(pod):
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def _serving_containers(pod: Object) -> list[Mapping[str, Any]]:
    """Containers and sidecars (init containers that restart always)."""
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or ()), *sidecars]


def resolve_ports(service: Object, pod: Object) -> tuple[tuple[str, str, int, str], ...]:
    """Return (name, protocol, number, appProtocol) of each Service port that the pod serves."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            protocol = port.get("protocol") or "TCP"
            found.append((port.get("name") or "", protocol, number, port.get("appProtocol") or ""))
    return tuple(found)


def render_ports(ports: tuple[tuple[str, str, int, str], ...], *, keep_empty_name: bool) -> list[Object]:
    """Return endpoint ports as the API has them. keep_empty_name: EndpointSlices say `name: ""`, Endpoints omit it."""
    rendered = []
    for name, protocol, number, app_protocol in ports:
        port: Object = {"port": number, "protocol": protocol}
        if name or keep_empty_name:
            port["name"] = name
        if app_protocol:
            port["appProtocol"] = app_protocol
        rendered.append(port)
    return rendered


def target_ref(pod: Object) -> Object:
    """Return the reference of an endpoint to its pod."""
    return {"kind": "Pod", "namespace": objects.namespace(pod), "name": objects.name(pod), "uid": objects.uid(pod)}


def hostname_in(service: Object, pod: Object) -> str:
    """Return the name under which DNS knows the pod within the (headless) Service, or an empty string."""
    spec = pod.get("spec") or {}
    return str(spec.get("hostname") or "") if spec.get("subdomain") == objects.name(service) else ""


def is_headless(service: Object) -> bool:
    """True for clusterIP None."""
    return bool(service["spec"].get("clusterIP") == "None")
