"""What a Node gets from the cloud. Pure (cloud-provider, controllers/node/node_controller.go)."""

from __future__ import annotations

import ipaddress
from typing import Any

from apimachinery.meta import objects
from apimachinery.meta.cloud import PROVIDED_IP
from apimachinery.meta.taints import SHUTDOWN, UNINITIALIZED
from controlplane.cloud.provider import CloudProblem, InstanceMetadata

Object = dict[str, Any]

# Labels of before 1.17 that must not say otherwise (labelReconcileInfo): (old, new, whether the old one must be there).
_OLD_LABELS = (
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone", True),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region", True),
    ("beta.kubernetes.io/os", "kubernetes.io/os", True),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch", True),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type", False),
)


def taints_of(node: Object) -> list[Object]:
    """The node's taints."""
    return list((node.get("spec") or {}).get("taints") or ())


def is_uninitialized(node: Object) -> bool:
    """Whether the cloud has not yet said what the node is."""
    return any(taint.get("key") == UNINITIALIZED for taint in taints_of(node))


def plan_initialization(node: Object, found: InstanceMetadata) -> Object:
    """The merge patch that makes a node usable: provider ID, labels, the taint taken off.

    It holds for the version that it was computed from. Raises CloudProblem when the kubelet's own address is none that
    the cloud knows: then the taint stays.
    """
    try:
        plan_addresses(node, found)
    except CloudProblem as problem:
        raise CloudProblem(f"provided node ip for node {objects.name(node)!r} is not valid: {problem}") from problem
    spec: Object = {"taints": [taint for taint in taints_of(node) if taint.get("key") != UNINITIALIZED] or None}
    if not node["spec"].get("providerID"):
        spec["providerID"] = found.provider_id
    labels = {
        "beta.kubernetes.io/instance-type": found.instance_type,
        "node.kubernetes.io/instance-type": found.instance_type,
        "failure-domain.beta.kubernetes.io/zone": found.zone,
        "topology.kubernetes.io/zone": found.zone,
        "failure-domain.beta.kubernetes.io/region": found.region,
        "topology.kubernetes.io/region": found.region,
    }
    metadata = {"resourceVersion": objects.resource_version(node), "labels": {k: v for k, v in labels.items() if v}}
    return {"metadata": metadata, "spec": spec}


def plan_labels(node: Object) -> dict[str, str]:
    """The old labels that must follow the new ones; empty when all do."""
    have = objects.labels(node)
    return {
        old: have[new]
        for old, new, needed in _OLD_LABELS
        if new in have and have.get(old) != have[new] and (needed or old in have)
    }


def plan_addresses(node: Object, found: InstanceMetadata) -> list[Object] | None:
    """The addresses that the node should show, those of its kubelet's --node-ip first; None when it shows them.

    Raises CloudProblem when the cloud does not know an address that the kubelet was given.
    """
    wanted = [{"type": kind, "address": address} for kind, address in found.addresses]
    shown = (node.get("status") or {}).get("addresses") or []
    if not any(each["type"] == "Hostname" for each in wanted):
        wanted += [each for each in shown if each.get("type") == "Hostname"]
    preferred = []
    for text in filter(None, objects.annotations(node).get(PROVIDED_IP, "").split(",")):
        match = next((each for each in wanted if each["address"] == text and _kind(each)[1]), None)
        if match is None:
            raise CloudProblem(f"failed to get node address from cloud provider that matches ip: {text}")
        preferred.append(match)
    # A type that the kubelet was given an address of shows no other of the same family.
    settled = {_kind(each) for each in preferred}
    wanted = preferred + [each for each in wanted if _kind(each) not in settled]
    return None if wanted == [{"type": each.get("type"), "address": each.get("address")} for each in shown] else wanted


def plan_shutdown(node: Object, off: bool) -> list[Object] | None:
    """The node's taints with, or without, the one of a machine that is turned off; None when they are so."""
    taints = taints_of(node)
    rest = [taint for taint in taints if taint.get("key") != SHUTDOWN]
    if off == (len(rest) < len(taints)):
        return None
    return [*rest, {"key": SHUTDOWN, "effect": "NoSchedule"}] if off else rest


def _kind(entry: Object) -> tuple[str, int]:
    """(type, family) of an address; the family of a name is 0."""
    try:
        return entry["type"], ipaddress.ip_address(entry["address"]).version
    except ValueError:
        return entry["type"], 0
