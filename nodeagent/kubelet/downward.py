"""The downward API: a pod's own fields and resources as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta.go_print import quoted
from apimachinery.meta.quantity import milli, value
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

_KEYED = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a pod may ask of its node. allocatable: cpu in millicores, others in units."""

    name: str
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, int] | None = None


def field_value(pod: Pod, path: str, ips: Sequence[str], node: NodeFacts) -> str:
    """The field at `path`. ips: the pod's addresses. Raises ValueError for a field that cannot be had."""
    keyed = _KEYED.match(path)
    if keyed:
        return str((pod["metadata"].get(keyed.group(1)) or {}).get(keyed.group(2), ""))
    metadata, spec = pod["metadata"], pod["spec"]
    addresses = list(node.host_ips) if pods.host_network(pod) else list(ips)
    fields: dict[str, str] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "metadata.labels": _map_text(metadata.get("labels")),
        "metadata.annotations": _map_text(metadata.get("annotations")),
        "spec.host": spec.get("nodeName") or node.name,  # as the first clients called it
        "spec.nodeName": spec.get("nodeName") or node.name,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "status.hostIP": node.host_ips[0] if node.host_ips else "",
        "status.hostIPs": ",".join(node.host_ips),
        "status.podIP": addresses[0] if addresses else "",
        "status.podIPs": ",".join(addresses),
    }
    if path not in fields:
        raise ValueError(f"unsupported fieldPath: {path}")
    return fields[path]


def resource_value(pod: Pod, reference: Mapping[str, Any], container: str, node: NodeFacts) -> str:
    """A container's request or limit, divided and rounded up; a limit of nothing or zero is what the node can give."""
    name = reference.get("containerName") or container
    found = pods.find_container(pod, name)
    if found is None:
        raise ValueError(f"container {name} not found")
    section, _, resource = str(reference["resource"]).partition(".")
    listed = ((found[1].get("resources") or {}).get(section) or {}).get(resource)
    if section == "limits" and listed is not None and not milli(str(listed)):
        listed = None
    divisor = str(reference.get("divisor") or "1")
    if divisor == "0":
        divisor = "1"
    if resource == "cpu":
        amount = milli(str(listed)) if listed is not None else _node_amount(node, resource, section)
        unit = milli(divisor)
    else:
        amount = value(str(listed)) if listed is not None else _node_amount(node, resource, section)
        unit = value(divisor)
    return str(-(-amount // max(1, unit)))


def _node_amount(node: NodeFacts, resource: str, section: str) -> int:
    return (node.allocatable or {}).get(resource, 0) if section == "limits" else 0


def _map_text(values: Mapping[str, str] | None) -> str:
    """`key="value"` a line, sorted, the value quoted as Go does."""
    return "\n".join(f"{key}={quoted(text)}" for key, text in sorted((values or {}).items()))
