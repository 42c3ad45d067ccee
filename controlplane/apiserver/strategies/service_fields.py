"""Fields of a Service that hang together, when only one of them was changed (pkg/registry/core/service/strategy.go)."""

from __future__ import annotations

from apimachinery.api.validation.services import externally_accessible, needs_health_check
from controlplane.apiserver.strategies.base import Object, keep

_ADDRESS_FIELDS = ("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")


def settle_addresses(spec: Object, before: Object) -> None:
    """clusterIP and clusterIPs say the same after a client changed or left out one of them; in place."""
    now, then = spec.get("clusterIP") or "", before.get("clusterIP") or ""
    many, had = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if had and not many and now == then:
        spec["clusterIPs"] = had
    elif now != then and many == had:
        if now:
            spec["clusterIPs"] = [now]
        else:
            spec.pop("clusterIPs", None)


def drop_unused(spec: Object, before: Object) -> None:
    """What the new type does not use goes, unless the client changed it, which validation then refuses; in place."""
    if before.get("type") != "ExternalName" and spec.get("type") == "ExternalName":
        if all((spec.get(field) or None) == (before.get(field) or None) for field in ("clusterIP", "clusterIPs")):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        for field in _ADDRESS_FIELDS:
            _drop_same(spec, before, field)
    if _has_ports(before) and not _has_ports(spec) and _ports(spec) <= _ports(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_check(before) and not needs_health_check(spec):
        _drop_same(spec, before, "healthCheckNodePort")
    if before.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            _drop_same(spec, before, field)
    if externally_accessible(before) and not externally_accessible(spec):
        _drop_same(spec, before, "externalTrafficPolicy")


def keep_node_ports(spec: Object, before: Object) -> None:
    """Ports that a client sends back without their node port keep it (patchAllocatedValues): that of the port of the
    same name, whatever else of it changed; in place."""
    if _has_ports(before) and _has_ports(spec):
        used = _ports(before) & _ports(spec)
        known = {port.get("name") or "": port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            old = known.get(port.get("name") or "")
            if not port.get("nodePort") and old and old not in used:
                port["nodePort"] = old
    if needs_health_check(before) and needs_health_check(spec) and not spec.get("healthCheckNodePort"):
        keep(spec, before, "healthCheckNodePort")


def _drop_same(spec: Object, before: Object, field: str) -> None:
    if spec.get(field) == before.get(field):
        spec.pop(field, None)


def _has_ports(spec: Object) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def _ports(spec: Object) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
