"""What a Service asks of the cloud. Pure (controllers/service/controller.go)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from apimachinery.meta import objects, pods
from apimachinery.meta.cloud import ANNOUNCED_BY
from apimachinery.meta.endpoints import SERVICE_NAME
from controlplane.cloud.provider import Balancer, Host

Object = dict[str, Any]

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
TO_BE_DELETED_TAINT = "ToBeDeletedByClusterAutoscaler"


def wants_balancer(service: Object) -> bool:
    """Whether it asks for one of ours; one with a class is another implementation's (KEP-1959)."""
    spec = service.get("spec") or {}
    return spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") is None


def needs_cleanup(service: Object) -> bool:
    """Whether what it once got must be taken back."""
    if FINALIZER not in (objects.metadata(service).get("finalizers") or ()):
        return False
    return objects.is_deleting(service) or (service.get("spec") or {}).get("type") != "LoadBalancer"


def shown_balancer(service: Mapping[str, Any]) -> Balancer | None:
    """What is written on a Service."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    addresses = tuple(str(each["ip"]) for each in ingress if each.get("ip"))
    if (service.get("spec") or {}).get("type") != "LoadBalancer" or not addresses:
        return None
    return Balancer(addresses, objects.annotations(service).get(ANNOUNCED_BY, ""))


def asked_for(service: Object) -> Object:
    """Everything about a Service that its balancer depends on: when it differs, the balancer is ensured anew."""
    spec = service.get("spec") or {}
    names = (
        "type", "loadBalancerSourceRanges", "sessionAffinity", "sessionAffinityConfig", "loadBalancerIP", "externalIPs",
        "externalTrafficPolicy", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy",
    )  # fmt: skip
    ports = [
        tuple(port.get(field) for field in ("name", "protocol", "port", "nodePort", "targetPort"))
        for port in spec.get("ports") or []
    ]
    return {"uid": objects.uid(service), "ports": ports, **{name: spec.get(name) for name in names}}


def change_events(old: Object, new: Object) -> list[tuple[str, str]]:
    """(reason, message) of what a person wants to know of a change between two `asked_for`."""
    rows = (
        ("type", "Type"),
        ("loadBalancerSourceRanges", "LoadBalancerSourceRanges"),
        ("loadBalancerIP", "LoadbalancerIP"),
        ("uid", "UID"),
        ("externalTrafficPolicy", "ExternalTrafficPolicy"),
        ("healthCheckNodePort", "HealthCheckNodePort"),
    )
    found = [
        (reason, f"{_text(old.get(field))} -> {_text(new.get(field))}")
        for field, reason in rows
        if old.get(field) != new.get(field)
    ]
    before, after = old.get("externalIPs") or [], new.get("externalIPs") or []
    if len(before) != len(after):
        found.append(("ExternalIP", f"Count: {len(before)} -> {len(after)}"))
    return found


def usable_hosts(nodes: Iterable[Object], slices: Iterable[Object], off: Collection[str] = ()) -> list[Host]:
    """The Nodes that balancers may use, by name. slices: the Service's; they tell which nodes have ready endpoints.
    off: names of Nodes whose machine is known not to run.

    Nodes that are not ready stay among them (KEP-3458): the balancer finds out itself who can serve.
    """
    local = {
        endpoint.get("nodeName")
        for each in slices
        for endpoint in each.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
    }
    return sorted(
        (
            Host(
                objects.name(node),
                pods.is_ready(node) and objects.name(node) not in off,
                objects.name(node) in local,
            )
            for node in nodes
            if is_usable(node)
        ),
        key=lambda host: host.name,
    )


def is_usable(node: Object) -> bool:
    """Neither excluded by a label, nor about to be deleted, nor unknown to the cloud."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return (
        EXCLUDE_LABEL not in objects.labels(node)
        and not objects.is_deleting(node)
        and not any(taint.get("key") == TO_BE_DELETED_TAINT for taint in taints)
        and bool((node.get("spec") or {}).get("providerID"))
    )


def concerns_balancers(old: Object, new: Object) -> bool:
    """Whether a Node's change may move a balancer."""
    return (is_usable(old), pods.is_ready(old)) != (is_usable(new), pods.is_ready(new))


def service_of(endpoint_slice: Object) -> str:
    """The key of the Service whose endpoints these are; "" for nobody's."""
    name = objects.labels(endpoint_slice).get(SERVICE_NAME)
    return f"{objects.namespace(endpoint_slice)}/{name}" if name else ""


def _text(value: object) -> str:
    """As Go prints it."""
    if isinstance(value, list):
        return f"[{' '.join(map(str, value))}]"
    return "" if value is None else str(value)
