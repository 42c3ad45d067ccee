"""A histogram for what happens many times in one request: the library's takes a lock for each of its numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .metrics import REGISTRY


class QuickHistogram(Collector):
    """Of the process's registry, for one thread. labels: their names; buckets: the upper bounds, in order."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._buckets, self._bounds = buckets, [*(str(float(each)) for each in buckets), "+Inf"]
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        REGISTRY.register(self)

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """One more. labels: their values."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * len(self._bounds)
            self._sums[labels] = 0.0
        counts[bisect_left(self._buckets, value)] += 1
        self._sums[labels] += value

    def collect(self) -> Iterator[Metric]:
        """What there is now; for the registry."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, counts in self._counts.items():
            buckets = list(zip(self._bounds, map(float, accumulate(counts)), strict=True))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family
