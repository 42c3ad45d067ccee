"""/metrics/resource: the few figures that the metrics API is made of (KEP-1206). Pure.

pkg/kubelet/metrics/collectors/resource_metrics.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from .cgroup import Usage
from .exposition import Family, Labels, render
from .provider import PodStats

_NANO = 1e9
_ERROR = "1 if there was an error while getting container metrics, 0 otherwise"


def render_resource(node: Usage | None, pods: Sequence[PodStats]) -> bytes:
    """The exposition. node: None when the figures could not be had; then only the error is told."""
    families = {
        name: Family(name, "counter" if name.endswith("_total") else "gauge", f"[{stability}] {text}")
        for name, stability, text in (
            ("node_cpu_usage_seconds_total", "STABLE", "Cumulative cpu time consumed by the node in core-seconds"),
            ("node_memory_working_set_bytes", "STABLE", "Current working set of the node in bytes"),
            ("node_swap_usage_bytes", "ALPHA", "Current swap usage of the node in bytes. "
                                               "Reported only on non-windows systems"),
            ("container_start_time_seconds", "STABLE", "Start time of the container since unix epoch in seconds"),
            ("container_cpu_usage_seconds_total", "STABLE", "Cumulative cpu time consumed by the container "
                                                            "in core-seconds"),
            ("container_memory_working_set_bytes", "STABLE", "Current working set of the container in bytes"),
            ("container_swap_usage_bytes", "ALPHA", "Current amount of the container swap usage in bytes. "
                                                    "Reported only on non-windows systems"),
            ("pod_cpu_usage_seconds_total", "STABLE", "Cumulative cpu time consumed by the pod in core-seconds"),
            ("pod_memory_working_set_bytes", "STABLE", "Current working set of the pod in bytes"),
            ("pod_swap_usage_bytes", "ALPHA", "Current amount of the pod swap usage in bytes. "
                                              "Reported only on non-windows systems"),
            ("resource_scrape_error", "STABLE", _ERROR),
        )
    }  # fmt: skip

    def measured(of: str, usage: Usage, labels: Labels) -> None:
        families[f"{of}_cpu_usage_seconds_total"].add(usage.cpu / _NANO, usage.at, labels)
        families[f"{of}_memory_working_set_bytes"].add(usage.working_set, usage.at, labels)
        families[f"{of}_swap_usage_bytes"].add(usage.swap, usage.at, labels)

    families["resource_scrape_error"].add(0 if node is not None else 1, 0, {})
    if node is not None:
        measured("node", node, {})
        for pod in pods:
            named = {"pod": pod.name, "namespace": pod.namespace}
            for container in pod.containers:
                inside = {**named, "container": container.name}
                families["container_start_time_seconds"].add(container.started / _NANO, 0, inside)
                measured("container", container.usage, inside)
            measured("pod", pod.usage, named)
    return render(families.values())
