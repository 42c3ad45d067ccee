"""/metrics/slis: how the health checks ended, by check and by the path that asked (KEP-3466, stable in 1.32).

Source: k8s.io/component-base/metrics/prometheus/slis. In a registry of its own: /metrics does not hold them.
"""

from __future__ import annotations

from . import metrics

_REGISTRY = metrics.CollectorRegistry()
_LAST = metrics.Gauge(
    "kubernetes_healthcheck",
    "[STABLE] This metric records the result of a single healthcheck.",
    ["name", "type"],
    registry=_REGISTRY,
)
_ALL = metrics.Counter(
    "kubernetes_healthchecks_total",
    "[STABLE] This metric records the results of all healthcheck.",
    ["name", "status", "type"],
    registry=_REGISTRY,
)


def observe(name: str, kind: str, *, well: bool) -> None:
    """A check has ended. kind: healthz, livez or readyz."""
    _LAST.labels(name, kind).set(int(well))
    _ALL.labels(name, "success" if well else "error", kind).inc()


def render() -> bytes:
    """The exposition."""
    return metrics.render(_REGISTRY)
