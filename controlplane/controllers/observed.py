"""The metrics of single controllers, by upstream's names (pkg/controller/job/metrics, …/cronjob/metrics,
…/ttlafterfinished/metrics, …/nodelifecycle/metrics.go)."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from apimachinery.kit.metrics import Counter, Histogram
from controlplane.controllers import conditions

Object = dict[str, Any]

_SYNC = ["completion_mode", "result", "action"]
_SYNC_SECONDS = Histogram(
    "job_controller_job_sync_duration_seconds",
    "[STABLE] The time it took to sync a job",
    _SYNC,
    buckets=tuple(round(0.004 * 2**power, 3) for power in range(15)),
)
_SYNCS = Counter("job_controller_job_syncs_total", "[STABLE] The number of job syncs", _SYNC)
_FINISHED = Counter(
    "job_controller_jobs_finished_total",
    "[STABLE] The number of finished jobs",
    ["completion_mode", "result", "reason"],
)
_PODS = Counter(
    "job_controller_job_pods_finished_total",
    "[STABLE] The number of finished Pods that are fully tracked",
    ["completion_mode", "result"],
)
_SKEW = Histogram(
    "cronjob_controller_job_creation_skew_duration_seconds",
    "[STABLE] Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
    buckets=tuple(2**power for power in range(10)),
)
_EXPIRED = Histogram(
    "ttl_after_finished_controller_job_deletion_duration_seconds",
    "[ALPHA] The time it took to delete the job since it became eligible for deletion",
    buckets=tuple(round(0.1 * 2**power, 1) for power in range(14)),
)
_EVICTIONS = Counter(
    "node_collector_evictions_total",
    "[STABLE] Number of Node evictions that happened since current instance of NodeController started.",
    ["zone"],
)
_RESULTS = {"Complete": "succeeded", "Failed": "failed"}


class JobSync:
    """One step of a Job, as a context. action: what came of it."""

    def __init__(self, job: Object) -> None:
        self.action = "reconciling"
        self._mode = _mode(job)

    def applied(self, created: int, deleted: int) -> None:
        """Pods were made, or taken away, or there was nothing to do."""
        self.action = "pods_created" if created else "pods_deleted" if deleted else "tracking"

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        labels = self._mode, "success" if error is None else "error", self.action
        _SYNC_SECONDS.labels(*labels).observe(time.perf_counter() - self._began)
        _SYNCS.labels(*labels).inc()


def job_written(job: Object, status: Object) -> None:
    """The Job's status is another now: of its pods some were counted, and it may have ended."""
    mode, before = _mode(job), job.get("status") or {}
    for result in ("succeeded", "failed"):
        more = int(status.get(result) or 0) - int(before.get(result) or 0)
        if more > 0:
            _PODS.labels(mode, result).inc(more)
    for kind, result in _RESULTS.items():
        now = conditions.find(status.get("conditions") or (), kind)
        was = conditions.find(before.get("conditions") or (), kind)
        if now is not None and now.get("status") == "True" and (was or {}).get("status") != "True":
            _FINISHED.labels(mode, result, now.get("reason") or "").inc()


def cronjob_started(seconds: float) -> None:
    """The Job of a run was created, so long after its time."""
    _SKEW.observe(seconds)


def job_expired(seconds: float) -> None:
    """A finished Job was deleted, so long after its time."""
    _EXPIRED.observe(seconds)


def node_evicted(zone: str) -> None:
    """The pods of a node of that zone are to leave it."""
    _EVICTIONS.labels(zone).inc()


def _mode(job: Object) -> str:
    return str((job.get("spec") or {}).get("completionMode") or "NonIndexed")
