"""How long admission takes, by plug-in and by step (k8s.io/apiserver/pkg/admission/metrics).

A write asks two dozen plug-ins, and the library's histograms would take longer than most of them do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from apimachinery.kit.metrics import REGISTRY

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
_BOUNDS = [*map(str, _SECONDS), "+Inf"]
_STEP = ("type", "operation", "rejected")


class Durations(Collector):
    """A histogram with the buckets of admission."""

    def __init__(self, name: str, documentation: str, labels: Iterable[str]) -> None:
        self._name, self._documentation, self._labels = name, documentation, list(labels)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * len(_BOUNDS)
            self._sums[labels] = 0.0
        counts[bisect_left(_SECONDS, seconds)] += 1
        self._sums[labels] += seconds

    def collect(self) -> Iterator[Metric]:
        """What there is now; for the registry."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, counts in self._counts.items():
            buckets = list(zip(_BOUNDS, map(float, accumulate(counts)), strict=True))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family


PLUGINS = Durations(
    "apiserver_admission_controller_admission_duration_seconds",
    "[STABLE] Admission controller latency histogram in seconds, identified by name and broken out for each operation "
    "and API resource and type (validate or admit).",
    ("name", *_STEP),
)
STEPS = Durations(
    "apiserver_admission_step_admission_duration_seconds",
    "[STABLE] Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step "
    "type (validate or admit).",
    _STEP,
)
for _each in (PLUGINS, STEPS):
    REGISTRY.register(_each)
