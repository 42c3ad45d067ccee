"""workqueue_*: what /metrics says of a work queue (client-go util/workqueue; names in component-base's
metrics/prometheus/workqueue)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from weakref import WeakSet

from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Gauge
from apimachinery.kit.quick_metrics import Count, Distribution, QuickCounter, QuickHistogram

_NAME = ["name"]
_SECONDS = tuple(1e-8 * 10**power for power in range(10))

_DEPTH = Gauge("workqueue_depth", "[ALPHA] Current depth of workqueue", _NAME)
_ADDS = QuickCounter("workqueue_adds_total", "[ALPHA] Total number of adds handled by workqueue", _NAME)
_WAITED = QuickHistogram(
    "workqueue_queue_duration_seconds",
    "[ALPHA] How long in seconds an item stays in workqueue before being requested.",
    _NAME,
    buckets=_SECONDS,
)
_WORKED = QuickHistogram(
    "workqueue_work_duration_seconds",
    "[ALPHA] How long in seconds processing an item from workqueue takes.",
    _NAME,
    buckets=_SECONDS,
)
_UNFINISHED = Gauge(
    "workqueue_unfinished_work_seconds",
    "[ALPHA] How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large "
    "values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this "
    "increases.",
    _NAME,
)
_LONGEST = Gauge(
    "workqueue_longest_running_processor_seconds",
    "[ALPHA] How many seconds has the longest running processor for workqueue been running.",
    _NAME,
)
_RETRIES = QuickCounter("workqueue_retries_total", "[ALPHA] Total number of retries handled by workqueue", _NAME)

_QUEUES = {
    "bootstrap-signer-controller": "bootstrap_signer_queue",
    "certificatesigningrequest-approving-controller": "certificate",
    "certificatesigningrequest-signing-controller": "certificate",
    "clusterrole-aggregation-controller": "ClusterRoleAggregator",
    "cronjob-controller": "cronjob",
    "daemonset-controller": "daemonset",
    "deployment-controller": "deployment",
    "disruption-controller": "disruption",
    "disruption-controller: stale targets": "stale_pod_disruption",
    "endpoint-controller": "endpoint",
    "endpointslice-controller": "endpoint_slice",
    "endpointslicemirroring-controller": "endpoint_slice_mirroring",
    "ephemeral-volume-controller": "ephemeral_volume",
    "garbage-collector-controller": "garbage_collector_attempt_to_delete",
    "horizontal-pod-autoscaler-controller": "horizontalpodautoscaler",
    "job-controller": "job",
    "namespace-controller": "namespace",
    "node-lifecycle-controller": "node_lifecycle_controller",
    "persistentvolume-binder-controller": "claims",
    "persistentvolume-expander-controller": "volume_expand",
    "persistentvolume-protection-controller": "pvprotection",
    "persistentvolumeclaim-protection-controller": "pvcprotection",
    "pod-garbage-collector-controller": "orphaned_pods_nodes",
    "replicaset-controller": "replicaset",
    "replicationcontroller-controller": "replicationmanager",
    "resourcequota-controller": "resourcequota_primary",
    "root-ca-certificate-publisher-controller": "root_ca_cert_publisher",
    "serviceaccount-controller": "serviceaccount",
    "statefulset-controller": "statefulset",
    "taint-eviction-controller": "noexec_taint_pod",
    "token-cleaner-controller": "token_cleaner",
    "ttl-controller": "ttlcontroller",
    "apiservice-availability": "RemoteAvailabilityController",
    "apiservice-discovery": "discovery-manager",
}
"""Upstream's names of the queues of our controllers; the others' queues are called as they are."""


class QueueMetrics:
    """Of one queue of a controller's; controllers may share a name, and then count together."""

    def __init__(self, controller: str, clock: Clock) -> None:
        self._clock = clock
        self._added: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._adds, self._retries, self._waited, self._worked, alike = _of(_QUEUES.get(controller, controller))
        alike.add(self)

    @property
    def depth(self) -> int:
        """The keys that were added and not taken; also those that are being worked on meanwhile."""
        return len(self._added)

    def added(self, key: str) -> None:
        """It was not there."""
        self._adds.inc()
        self._added[key] = self._clock.monotonic()

    def retried(self) -> None:
        """A key is to come later."""
        self._retries.inc()

    def taken(self, key: str) -> None:
        now = self._began[key] = self._clock.monotonic()
        if (since := self._added.pop(key, None)) is not None:
            self._waited.observe(now - since)

    def done(self, key: str) -> None:
        if (since := self._began.pop(key, None)) is not None:
            self._worked.observe(self._clock.monotonic() - since)

    def running(self) -> list[float]:
        """The seconds of work that each key has taken so far which is being worked on."""
        now = self._clock.monotonic()
        return [now - since for since in self._began.values()]


@cache
def _of(name: str) -> tuple[Count, Count, Distribution, Distribution, WeakSet[QueueMetrics]]:
    alike: WeakSet[QueueMetrics] = WeakSet()

    def over(combine: Callable[[list[float]], float]) -> Callable[[], float]:
        return lambda: combine([seconds for each in alike for seconds in each.running()])

    _DEPTH.labels(name).set_function(lambda: sum(each.depth for each in alike))
    _UNFINISHED.labels(name).set_function(over(sum))
    _LONGEST.labels(name).set_function(over(lambda found: max(found, default=0.0)))
    return _ADDS.labels(name), _RETRIES.labels(name), _WAITED.labels(name), _WORKED.labels(name), alike
