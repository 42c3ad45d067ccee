"""/metrics/resources: what each pod asks for and may use, as the scheduler reckons it.

Source: pkg/scheduler/metrics/resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from apimachinery.kit.metrics import CollectorRegistry, render
from apimachinery.meta.pod_resources import Amounts, container_requests, parse_amounts, pod_level, pod_requests
from apimachinery.meta.pods import is_terminal, node_name

Object = dict[str, Any]

_LABELS = ("namespace", "pod", "node", "scheduler", "priority", "resource", "unit")
_USAGE = (
    "workloads on the cluster, broken down by pod. This shows the resource usage the scheduler and kubelet expect "
    "per pod for resources along with the unit for the resource if any."
)
_UNITS = {"cpu": "cores", "memory": "bytes", "storage": "bytes", "ephemeral-storage": "bytes"}


class _Found:
    """A collector of what was found for one answer."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = list(families)

    def collect(self) -> list[GaugeMetricFamily]:
        return self._families


def render_resources(pods: Iterable[Object]) -> bytes:
    """The exposition: a sample for every pod that has not ended, and every resource that it names. Pure."""
    requests = GaugeMetricFamily(
        "kube_pod_resource_request", f"[STABLE] Resources requested by {_USAGE}", labels=_LABELS
    )
    limits = GaugeMetricFamily("kube_pod_resource_limit", f"[STABLE] Resources limit for {_USAGE}", labels=_LABELS)
    for pod in pods:
        if node_name(pod) and is_terminal(pod):
            continue
        for family, amounts in ((requests, pod_requests(pod)), (limits, pod_limits(pod))):
            _add(family, pod, amounts)
    registry = CollectorRegistry()
    registry.register(_Found([requests, limits]))
    return render(registry)


def pod_limits(pod: Mapping[str, Any]) -> Amounts:
    """What the whole pod may use; the runtime class's overhead is added to what is limited."""
    found = {**container_requests(pod, section="limits"), **pod_level(pod, "limits")}
    overhead = parse_amounts((pod.get("spec") or {}).get("overhead"))
    return {name: amount + (overhead.get(name, 0) if amount else 0) for name, amount in found.items()}


def _add(family: GaugeMetricFamily, pod: Object, amounts: Amounts) -> None:
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    priority = spec.get("priority")
    about = (
        metadata.get("namespace", ""),
        metadata["name"],
        node_name(pod),
        spec.get("schedulerName", ""),
        "" if priority is None else str(priority),
    )
    for resource, amount in sorted(amounts.items()):
        if amount:
            family.add_metric((*about, resource, _unit(resource)), amount / 1000 if resource == "cpu" else amount)


def _unit(resource: str) -> str:
    if resource.startswith("hugepages-"):
        return "bytes"
    return "integer" if resource.startswith("attachable-volumes-") else _UNITS.get(resource, "")
