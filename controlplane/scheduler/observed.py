"""What /metrics says of scheduling, by upstream's names (pkg/scheduler/metrics/metrics.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache

from apimachinery.kit.metrics import Counter, Gauge
from apimachinery.kit.quick_metrics import Count, Distribution, QuickCounter, QuickHistogram
from controlplane.scheduler.framework import Change

_MOST_ATTEMPTS = 15  # those with more share a label
_PARTS = ("active", "backoff", "unschedulable", "gated")


def _doubling(first: float, count: int) -> tuple[float, ...]:
    return tuple(round(first * 2**power, 4) for power in range(count))


_ATTEMPTS = QuickCounter(
    "scheduler_schedule_attempts_total",
    "[STABLE] Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, "
    "while 'error' means an internal scheduler problem.",
    ["result", "profile"],
)
_ATTEMPT_SECONDS = QuickHistogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "[STABLE] Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    ["result", "profile"],
    buckets=_doubling(0.001, 15),
)
ALGORITHM_SECONDS = QuickHistogram(
    "scheduler_scheduling_algorithm_duration_seconds",
    "[ALPHA] Scheduling algorithm latency in seconds",
    [],
    buckets=_doubling(0.001, 15),
).labels()
_POINTS = QuickHistogram(
    "scheduler_framework_extension_point_duration_seconds",
    "[STABLE] Latency for running all plugins of a specific extension point.",
    ["extension_point", "status", "profile"],
    buckets=_doubling(0.0001, 12),
)
PREEMPTIONS = Counter(
    "scheduler_preemption_attempts_total", "[STABLE] Total preemption attempts in the cluster till now"
)
VICTIMS = QuickHistogram(
    "scheduler_preemption_victims", "[STABLE] Number of selected preemption victims", [], buckets=_doubling(1, 7)
).labels()
_PENDING = Gauge(
    "scheduler_pending_pods",
    "[STABLE] Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means "
    "number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler "
    "attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted "
    "to schedule because they are gated.",
    ["queue"],
)
_INCOMING = QuickCounter(
    "scheduler_queue_incoming_pods_total",
    "[STABLE] Number of pods added to scheduling queues by event and queue type.",
    ["queue", "event"],
)
_POD_ATTEMPTS = QuickHistogram(
    "scheduler_pod_scheduling_attempts",
    "[STABLE] Number of attempts to successfully schedule a pod.",
    [],
    buckets=_doubling(1, 5),
).labels()
_POD_SECONDS = QuickHistogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "[BETA] E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve "
    "multiple scheduling attempts.",
    ["attempts"],
    buckets=_doubling(0.01, 20),
)


def attempted(result: str, profile: str, seconds: float) -> None:
    """A pod was tried, for so long. result: scheduled, unschedulable or error."""
    count, duration = _attempt(result, profile)
    count.inc()
    duration.observe(seconds)


def placed(attempts: int, seconds: float) -> None:
    """A pod has its node after so many attempts, and so long after it first could be tried."""
    _POD_ATTEMPTS.observe(attempts)
    _pod_seconds(f"{_MOST_ATTEMPTS}+" if attempts >= _MOST_ATTEMPTS else str(attempts)).observe(seconds)


def ran(point: str, profile: str, seconds: float, status: str = "Success") -> None:
    """The plugins of an extension point have had their say."""
    _point(point, status, profile).observe(seconds)


def came(queue: str, event: str) -> None:
    """A pod came into a part of the queue because of `event`."""
    _incoming(queue, event).inc()


def event_of(change: Change) -> str:
    """As upstream calls a change. Those of namespaces, storage and workloads are not told apart here."""
    what, _, action = change.what.value.partition("/")
    return what + (action or "Update")


def show_queue(lengths: Callable[[], Mapping[str, int]]) -> None:
    """lengths: the pods in each part of the queue, now."""

    def length_of(part: str) -> Callable[[], float]:
        return lambda: lengths()[part]

    for part in _PARTS:
        _PENDING.labels(part).set_function(length_of(part))


@cache
def _attempt(result: str, profile: str) -> tuple[Count, Distribution]:
    return _ATTEMPTS.labels(result, profile), _ATTEMPT_SECONDS.labels(result, profile)


@cache
def _pod_seconds(attempts: str) -> Distribution:
    return _POD_SECONDS.labels(attempts)


@lru_cache(maxsize=256)
def _point(point: str, status: str, profile: str) -> Distribution:
    return _POINTS.labels(point, status, profile)


@cache
def _incoming(queue: str, event: str) -> Count:
    return _INCOMING.labels(queue, event)
