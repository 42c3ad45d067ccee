"""Metrics in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

# Beside each counter and histogram the library tells when it was made, which no component of Kubernetes does.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

__all__ = ["CONTENT_TYPE", "REGISTRY", "CollectorRegistry", "Counter", "Gauge", "Histogram", "render"]


def render(registry: CollectorRegistry = REGISTRY) -> bytes:
    """The exposition of every metric of the registry."""
    return generate_latest(registry)
