"""Nodes (pkg/apis/core/validation)."""

from apimachinery.api.validation.checks import Object, cidr, quantity_value
from apimachinery.api.validation.go_values import go_strings
from apimachinery.api.validation.scheduling import taints
from apimachinery.meta.addresses import parse_cidr
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid

_SPEC = Path("spec")


def node(obj: Object) -> list[Problem]:
    """Taints, pod subnets and amounts of resources."""
    spec = obj.get("spec") or {}
    # Upstream names the taints below the metadata; what people read there is kept.
    problems = taints(spec.get("taints") or [], Path("metadata.taints"))
    problems += _amounts(obj)
    subnets, path = _subnets(spec), _SPEC.child("podCIDRs")
    problems += [problem for position, text in enumerate(subnets) for problem in cidr(text, path.index(position))]
    networks = [network for network in map(parse_cidr, subnets) if network is not None]
    families = {network.version for network in networks}
    if 1 < len(subnets) == len(networks) and (len(families) < 2 or len(subnets) > 2):
        text = "may specify no more than one CIDR for each IP family"
        problems.append(invalid(path, go_strings(subnets), text))
    return problems + [
        duplicate(path.index(position), text) for position, text in enumerate(subnets) if text in subnets[:position]
    ]


def node_update(new: Object, old: Object) -> list[Problem]:
    """Pod subnets and provider id are set once; addresses are unique."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    problems: list[Problem] = []
    addresses = (new.get("status") or {}).get("addresses") or []
    for position, address in enumerate(addresses):
        if address in addresses[:position]:
            problems.append(duplicate(Path("status.addresses").index(position), address))
    if _subnets(before) and _subnets(spec) != _subnets(before):
        text = 'node updates may not change podCIDR except from "" to valid'
        problems.append(forbidden(_SPEC.child("podCIDRs"), text))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        text = 'node updates may not change providerID except from "" to valid'
        problems.append(forbidden(_SPEC.child("providerID"), text))
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        problems.append(forbidden(_SPEC.child("externalID"), "may not be updated"))
    return problems


def node_status(new: Object, old: Object) -> list[Problem]:
    """What an update of a status may say: amounts of resources, and what any update may."""
    return _amounts(new) + node_update(new, old)


def _subnets(spec: Object) -> list[str]:
    """The pod subnets; a podCIDR alone stands for a list of one."""
    return spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


def _amounts(obj: Object) -> list[Problem]:
    status = obj.get("status") or {}
    return [
        problem
        for field in ("capacity", "allocatable")
        for name, amount in (status.get(field) or {}).items()
        for problem in quantity_value(name, amount, Path("status").child(field, name))
    ]
