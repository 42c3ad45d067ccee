"""What /metrics/probes tells (pkg/kubelet/prober/prober_manager.go: ProberResults, ProberDuration)."""

from __future__ import annotations

from typing import NamedTuple

from apimachinery.kit.metrics import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()

_NAMES = ["container", "namespace", "pod"]
_PROBES = Counter(
    "prober_probe",
    "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
    [*_NAMES, "pod_uid", "probe_type", "result"],
    registry=REGISTRY,
)
_SECONDS = Histogram(
    "prober_probe_duration_seconds",
    "[ALPHA] Duration in seconds for a probe response.",
    [*_NAMES, "probe_type"],
    registry=REGISTRY,
)


class Where(NamedTuple):
    """One probe. kind: Liveness, Readiness or Startup."""

    container: str
    namespace: str
    pod: str
    uid: str
    kind: str


def probed(where: Where, seconds: float, *, passed: bool) -> None:
    """Count one answer; only of those that passed it is told how long they took, as upstream."""
    _PROBES.labels(*where, "successful" if passed else "failed").inc()
    if passed:
        _SECONDS.labels(*where[:3], where.kind).observe(seconds)


def forget(where: Where) -> None:
    """The pod is gone: what was counted is no longer shown."""
    for result in ("successful", "failed"):
        _PROBES.remove(*where, result)
    _SECONDS.remove(*where[:3], where.kind)
