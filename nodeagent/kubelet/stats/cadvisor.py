"""/metrics/cadvisor: cadvisor's names, labels and units, as dashboards ask for them. Pure.

github.com/google/cadvisor/metrics/prometheus.go, with the labels that the kubelet gives (server.go:
containerPrometheusLabelsFunc): `id` is the cgroup, `name` the container's id, `container` its name in the pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.kubelet.eviction.usage import Disk
from nodeagent.kubelet.node.machine import Machine

from .cgroup import Details, Usage
from .exposition import Family, render
from .network import Interface

_NANO = 1e9

# Name, what it says, the field, what the field is divided by.
_Row = tuple[str, str, str, float]
_USAGE: tuple[_Row, ...] = (
    ("container_memory_usage_bytes",
     "Current memory usage in bytes, including all memory regardless of when it was accessed", "memory", 1),
    ("container_memory_working_set_bytes", "Current working set in bytes.", "working_set", 1),
    ("container_memory_rss", "Size of RSS in bytes.", "rss", 1),
    ("container_memory_swap", "Container swap usage in bytes.", "swap", 1),
)  # fmt: skip
_DETAILS: tuple[_Row, ...] = (
    ("container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds.", "cpu_user", _NANO),
    ("container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds.", "cpu_system", _NANO),
    ("container_memory_cache", "Number of bytes of page cache memory.", "cache", 1),
    ("container_memory_mapped_file", "Size of memory mapped files in bytes.", "mapped", 1),
    ("container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", "most", 1),
    ("container_memory_failcnt", "Number of memory usage hits limits", "failures", 1),
    ("container_memory_kernel_usage", "Size of kernel memory allocated in bytes.", "kernel", 1),
    ("container_oom_events_total", "Count of out of memory events observed for the container", "oom_kills", 1),
    ("container_processes", "Number of processes running inside the container.", "processes", 1),
    ("container_threads", "Number of threads running inside the container", "threads", 1),
    ("container_threads_max", "Maximum number of threads allowed inside the container, infinity if value is zero",
     "threads_most", 1),
    ("container_spec_cpu_shares", "CPU share of the container.", "shares", 1),
    ("container_spec_cpu_period", "CPU period of the container.", "period", 1),
)  # fmt: skip
_QUOTA: tuple[_Row, ...] = (
    ("container_spec_cpu_quota", "CPU quota of the container.", "quota", 1),
    ("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", "periods", 1),
    ("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", "throttled_periods", 1),
    ("container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled.",
     "throttled", _NANO),
)  # fmt: skip
_NETWORK: tuple[_Row, ...] = tuple(
    (f"container_network_{verb}_{name}_total", f"Cumulative count of {text}", f"{prefix}_{field}", 1)
    for verb, past, doing, prefix in (
        ("receive", "received", "receiving", "rx"),
        ("transmit", "transmitted", "transmitting", "tx"),
    )
    for name, field, text in (
        ("bytes", "bytes", f"bytes {past}"),
        ("packets", "packets", f"packets {past}"),
        ("errors", "errors", f"errors encountered while {doing}"),
        ("packets_dropped", "dropped", f"packets dropped while {doing}"),
    )
)
# Name, what it says, the field and the operation that are shown of a device.
_DEVICE: tuple[tuple[str, str, str, str], ...] = (
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read", "bytes", "Read"),
    ("container_fs_reads_total", "Cumulative count of reads completed", "served", "Read"),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written", "bytes", "Write"),
    ("container_fs_writes_total", "Cumulative count of writes completed", "served", "Write"),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One cgroup. labels: container, id, image, name, namespace, pod. started: seconds since the epoch.

    disk: what was written and the device's name and size, for a container.
    """

    labels: Mapping[str, str]
    usage: Usage
    started: float
    details: Details | None = None
    interfaces: Sequence[Interface] = ()
    disk: tuple[Disk, str, int] | None = None


def labelled(path: str, **known: str) -> Mapping[str, str]:
    """The labels of a cgroup; those that do not apply are empty, as every sample of a metric has the same ones."""
    return {"container": "", "image": "", "name": "", "namespace": "", "pod": "", **known, "id": path}


class _Families:
    """Gathers samples by metric."""

    def __init__(self) -> None:
        self.by_name: dict[str, Family] = {}

    def add(self, name: str, text: str, value: float, at: int, labels: Mapping[str, str]) -> None:
        family = self.by_name.get(name)
        if family is None:
            counts = name.endswith("_total") or name == "container_memory_failcnt"
            family = self.by_name[name] = Family(name, "counter" if counts else "gauge", text)
        family.samples.append((labels, value, at))

    def add_all(self, rows: Iterable[_Row], of: object, at: int, labels: Mapping[str, str]) -> None:
        for name, text, field, divisor in rows:
            value = getattr(of, field)
            self.add(name, text, value if divisor == 1 else value / divisor, at, labels)


def render_cadvisor(series: Sequence[Series], machine: Machine, runtime_version: str, error: bool = False) -> bytes:
    """The exposition. error: the containers could not be listed."""
    out = _Families()
    for each in series:
        _cpu_and_memory(out, each)
        _network_and_disk(out, each)
    _machine(out, machine, runtime_version)
    out.add(
        "container_scrape_error",
        "1 if there was an error while getting container metrics, 0 otherwise",
        1 if error else 0,
        0,
        {},
    )
    return render(out.by_name.values())


def _cpu_and_memory(out: _Families, each: Series) -> None:
    usage, labels, at = each.usage, each.labels, each.usage.at
    out.add("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.",
            usage.cpu / _NANO, at, {**labels, "cpu": "total"})  # fmt: skip
    out.add_all(_USAGE, usage, at, labels)
    for scope in ("container", "hierarchy"):
        for kind, faults in (("pgfault", usage.page_faults), ("pgmajfault", usage.major_faults)):
            out.add("container_memory_failures_total", "Cumulative count of memory allocation failures.",
                    faults, at, {**labels, "failure_type": kind, "scope": scope})  # fmt: skip
    out.add("container_last_seen", "Last time a container was seen by the exporter", at // 10**9, at, labels)
    out.add("container_start_time_seconds", "Start time of the container since unix epoch in seconds.",
            int(each.started), at, labels)  # fmt: skip
    out.add("container_spec_memory_limit_bytes", "Memory limit for the container.", usage.limit or 0, at, labels)
    out.add("container_spec_memory_reservation_limit_bytes", "Memory reservation limit for the container.",
            0, at, labels)  # fmt: skip
    out.add("container_spec_memory_swap_limit_bytes", "Memory swap limit for the container.",
            usage.swap_limit or 0, at, labels)  # fmt: skip
    if each.details is not None:
        out.add_all(_DETAILS, each.details, at, labels)
        if each.details.quota:
            out.add_all(_QUOTA, each.details, at, labels)


def _network_and_disk(out: _Families, each: Series) -> None:
    at = each.usage.at
    for interface in each.interfaces:
        out.add_all(_NETWORK, interface, at, {**each.labels, "interface": interface.name})
    for block in each.details.io if each.details is not None else ():
        labels = {**each.labels, "device": block.device}
        for name, text, field, operation in _DEVICE:
            out.add(name, text, getattr(block, field).get(operation, 0), at, labels)
        numbered = {**labels, "major": str(block.major), "minor": str(block.minor)}
        for operation, count in sorted(block.bytes.items()):
            out.add("container_blkio_device_usage_total", "Blkio Device bytes usage", count, at,
                    {**numbered, "operation": operation})  # fmt: skip
    if each.disk is not None:
        used, device, size = each.disk
        labels = {**each.labels, "device": device}
        out.add("container_fs_usage_bytes", "Number of bytes that are consumed by the container on this filesystem.",
                used.used, at, labels)  # fmt: skip
        out.add("container_fs_limit_bytes", "Number of bytes that can be consumed by the container on this filesystem.",
                size, at, labels)  # fmt: skip


def _machine(out: _Families, machine: Machine, runtime_version: str) -> None:
    same = {"boot_id": machine.boot_id, "machine_id": machine.machine_id, "system_uuid": machine.system_uuid}
    for name, text, value in (
        ("machine_cpu_cores", "Number of logical CPU cores.", machine.cpus),
        ("machine_cpu_physical_cores", "Number of physical CPU cores.", machine.cores),
        ("machine_cpu_sockets", "Number of CPU sockets.", machine.sockets),
        ("machine_memory_bytes", "Amount of memory installed on the machine.", machine.memory),
        ("machine_swap_bytes", "Amount of swap memory available on the machine.", machine.swap),
    ):
        out.add(name, text, value, 0, same)
    out.add("machine_scrape_error", "1 if there was an error while getting machine metrics, 0 otherwise.", 0, 0, {})
    versions = {
        "cadvisorRevision": "",
        "cadvisorVersion": "",
        "dockerVersion": runtime_version,
        "kernelVersion": machine.kernel,
        "osVersion": machine.os_image,
    }
    out.add("cadvisor_version_info", "A metric with a constant '1' value labeled by kernel version, OS version, "
            "docker version, cadvisor version & cadvisor revision.", 1, 0, versions)  # fmt: skip
