"""The kubelet's own metrics, under upstream's names (pkg/kubelet/metrics/metrics.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from apimachinery.kit.metrics import Counter, Gauge, Histogram
from apimachinery.meta.build import show_build, version_info
from nodeagent.kubelet import pods
from nodeagent.kubelet.runtime.state import READY

_TYPE = ["operation_type"]
_HANDLER = ["runtime_handler"]
_STARTUP_BUCKETS = (
    0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
)  # fmt: skip
_REQUEST = ["method", "path", "server_type", "long_running"]
_LONG_RUNNING = ("exec", "attach", "portforward", "debug")
_KNOWN = frozenset([
    "attach", "checkpoint", "configz", "containerLogs", "exec", "healthz", "logs", "pods", "portForward", "run",
    "runningpods", "stats", "metrics", "metrics/cadvisor", "metrics/probes", "metrics/resource",
])  # fmt: skip

_NODE = Gauge("kubelet_node_name", "[ALPHA] The node's name. The count is always 1.", ["node"])
_RUNNING_PODS = Gauge("kubelet_running_pods", "[ALPHA] Number of pods that have a running pod sandbox")
_RUNNING_CONTAINERS = Gauge(
    "kubelet_running_containers", "[ALPHA] Number of containers currently running", ["container_state"]
)
_DESIRED_PODS = Gauge(
    "kubelet_desired_pods", "[ALPHA] The number of pods the kubelet is being instructed to run.", ["static"]
)
_OPERATIONS = Counter(
    "kubelet_runtime_operations", "[ALPHA] Cumulative number of runtime operations by operation type.", _TYPE
)
_OPERATION_ERRORS = Counter(
    "kubelet_runtime_operations_errors",
    "[ALPHA] Cumulative number of runtime operation errors by operation type.",
    _TYPE,
)
_OPERATION_SECONDS = Histogram(
    "kubelet_runtime_operations_duration_seconds",
    "[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.",
    _TYPE,
)
_STARTED_PODS = Counter("kubelet_started_pods", "[ALPHA] Cumulative number of pods started")
_STARTED_PODS_ERRORS = Counter("kubelet_started_pods_errors", "[ALPHA] Cumulative number of errors when starting pods")
_RELIST_SECONDS = Histogram(
    "kubelet_pleg_relist_duration_seconds", "[ALPHA] Duration in seconds for relisting pods in PLEG."
)
_RELIST_INTERVAL = Histogram(
    "kubelet_pleg_relist_interval_seconds", "[ALPHA] Interval in seconds between relisting in PLEG."
)
_LAST_SEEN = Gauge("kubelet_pleg_last_seen_seconds", "[ALPHA] Timestamp in seconds when PLEG was last seen active.")
_WORKER_SECONDS = Histogram(
    "kubelet_pod_worker_duration_seconds",
    "[ALPHA] Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
    _TYPE,
)
_POD_START_SECONDS = Histogram(
    "kubelet_pod_start_duration_seconds",
    "[ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
    buckets=_STARTUP_BUCKETS,
)
_WORKER_START_SECONDS = Histogram(
    "kubelet_pod_worker_start_duration_seconds",
    "[ALPHA] Duration in seconds from kubelet seeing a pod to starting a worker.",
)
_POD_CONTAINERS = Histogram(
    "kubelet_containers_per_pod_count", "[ALPHA] The number of containers per pod.", buckets=(1, 2, 4, 8, 16)
)
_SANDBOX_SECONDS = Histogram(
    "kubelet_run_podsandbox_duration_seconds",
    "[ALPHA] Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
    _HANDLER,
)
_SANDBOX_ERRORS = Counter(
    "kubelet_run_podsandbox_errors",
    "[ALPHA] Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
    _HANDLER,
)
_STARTED_CONTAINERS = Counter(
    "kubelet_started_containers", "[ALPHA] Cumulative number of containers started", ["container_type"]
)
_STARTED_CONTAINERS_ERRORS = Counter(
    "kubelet_started_containers_errors",
    "[ALPHA] Cumulative number of errors when starting containers",
    ["container_type", "code"],
)
_REQUESTS = Counter(
    "kubelet_http_requests", "[ALPHA] Number of the http requests received since the server started", _REQUEST
)
_REQUEST_SECONDS = Histogram(
    "kubelet_http_requests_duration_seconds", "[ALPHA] Duration in seconds to serve http requests", _REQUEST
)
_IN_FLIGHT = Gauge("kubelet_http_inflight_requests", "[ALPHA] Number of the inflight http requests", _REQUEST)
# Counters without "_total", which the library knows none of.
_EVICTIONS = Gauge(
    "kubelet_evictions", "[ALPHA] Cumulative number of pod evictions by eviction signal", ["eviction_signal"]
)
_PLUGIN_ERRORS = Gauge(
    "kubelet_credential_provider_plugin_errors",
    "[ALPHA] Number of errors from credential provider plugin",
    ["plugin_name"],
)
_PLUGIN_SECONDS = Histogram(
    "kubelet_credential_provider_plugin_duration",
    "[ALPHA] Duration of execution in seconds for credential provider plugin",
    ["plugin_name"],
)

# What an operation is called where a CRI method's name does not say it.
_NAMES = {
    "UpdateContainerResources": "update_container",
    "ReopenContainerLog": "reopen_container_log",
    "ListContainerStats": "list_container_stats",
}
_STATES = {"Created": "created", "Running": "running", "Exited": "exited", "Unknown": "unknown"}


@cache
def operation_type(method: str) -> str:
    """The kubelet's name for a CRI method: RunPodSandbox is run_podsandbox."""
    if method in _NAMES:
        return _NAMES[method]
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method).lstrip("_")
    return words.replace("pod_sandbox", "podsandbox")


def runtime_called(method: str, seconds: float, *, failed: bool) -> None:
    """Count a call to the runtime. method: its name in the CRI."""
    kind = operation_type(method)
    _OPERATIONS.labels(kind).inc()
    _OPERATION_SECONDS.labels(kind).observe(seconds)
    if failed:
        _OPERATION_ERRORS.labels(kind).inc()
    if method == "RunPodSandbox":
        (_STARTED_PODS_ERRORS if failed else _STARTED_PODS).inc()


def credential_plugin_ran(name: str, seconds: float, *, failed: bool) -> None:
    """Count a run of a credential provider plug-in."""
    _PLUGIN_SECONDS.labels(name).observe(seconds)
    if failed:
        _PLUGIN_ERRORS.labels(name).inc()


def relisted(seconds: float, since: float | None, now: float) -> None:
    """since: seconds from the listing before, None for the first. now: seconds since the epoch."""
    _RELIST_SECONDS.observe(seconds)
    if since is not None:
        _RELIST_INTERVAL.observe(since)
    _LAST_SEEN.set(now)


def synced(kind: str, seconds: float) -> None:
    """A pass over a pod. kind: create for its first, then sync."""
    _WORKER_SECONDS.labels(kind).observe(seconds)


def pod_seen(containers: int) -> None:
    """A pod that is new here. containers: of the regular ones."""
    _POD_CONTAINERS.observe(containers)


def worker_started(seconds: float) -> None:
    """seconds: since the pod was seen first."""
    _WORKER_START_SECONDS.observe(seconds)


def pod_started(seconds: float) -> None:
    """It runs. seconds: since it was seen first."""
    _POD_START_SECONDS.observe(seconds)


def sandbox_ran(handler: str, seconds: float, *, failed: bool) -> None:
    """handler: of the pod's RuntimeClass, "" for the runtime's default."""
    _SANDBOX_SECONDS.labels(handler).observe(seconds)
    if failed:
        _SANDBOX_ERRORS.labels(handler).inc()


def container_started(kind: str, error: str = "") -> None:
    """kind: "container", "init_container" or "ephemeral_container". error: the reason for which it was not."""
    _STARTED_CONTAINERS.labels(kind).inc()
    if error:
        _STARTED_CONTAINERS_ERRORS.labels(kind, error).inc()


def evicted(signal: str) -> None:
    """A pod had to go. signal: the eviction signal, or the limit that it did not keep ("emptydirfs.limit")."""
    _EVICTIONS.labels(signal).inc()


class Request:
    """One HTTP request, counted from its begin to its end."""

    def __init__(self, method: str, path: str) -> None:
        parts = path.strip("/").split("/")
        root = "/".join(parts[:2]) if parts[0] == "metrics" and len(parts) > 1 else parts[0]
        # As bounded as upstream's: whoever asks for other paths makes no new series.
        shown = root if root in _KNOWN else "other"
        self._labels = (method, shown, "readwrite", "true" if shown.lower() in _LONG_RUNNING else "false")
        _IN_FLIGHT.labels(*self._labels).inc()
        _REQUESTS.labels(*self._labels).inc()

    def ended(self, seconds: float) -> None:
        _IN_FLIGHT.labels(*self._labels).dec()
        _REQUEST_SECONDS.labels(*self._labels).observe(seconds)


def show_node(
    name: str,
    version: str,
    seen: Callable[[], Mapping[str, Mapping[str, str]]],
    desired: Callable[[], Iterable[Mapping[str, Any]]],
) -> None:
    """Tell who we are, and count at every scrape. seen: what the runtime showed, by pod. desired: our pods."""
    major, minor, *_ = version.removeprefix("v").split(".")
    _NODE.labels(name).set(1)
    show_build({**version_info(), "gitVersion": version, "major": major, "minor": minor})
    _RUNNING_PODS.set_function(lambda: sum(READY in found.values() for found in seen().values()))

    def in_state(state: str) -> Callable[[], float]:
        return lambda: sum(list(found.values()).count(state) for found in seen().values())

    def static(wanted: bool) -> Callable[[], float]:
        return lambda: sum(pods.is_static(pod) is wanted for pod in desired())

    for state, shown in _STATES.items():
        _RUNNING_CONTAINERS.labels(shown).set_function(in_state(state))
    for wanted, text in ((True, "true"), (False, "")):
        _DESIRED_PODS.labels(text).set_function(static(wanted))
