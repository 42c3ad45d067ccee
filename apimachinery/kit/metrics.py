"""Metrics in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

__all__ = ["CONTENT_TYPE", "REGISTRY", "CollectorRegistry", "Counter", "Gauge", "Histogram", "render"]


def render(registry: CollectorRegistry = REGISTRY) -> bytes:
    """The exposition of every metric of the registry."""
    return generate_latest(registry)
