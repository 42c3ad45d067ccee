"""Counters and histograms for what happens in every request: the library's take a lock for each of their numbers.

In use as the library's are, of the process's registry, and for one thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .metrics import REGISTRY


class Count:
    """How often something happened."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self, by: int = 1) -> None:
        """It did, so many times more."""
        self.count += by


class QuickCounter(Collector):
    """labels: their names."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._children: dict[tuple[str, ...], Count] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> Count:
        """The one of these values, there from now on."""
        found = self._children.get(values)
        if found is None:
            found = self._children[values] = Count()
        return found

    def collect(self) -> Iterator[Metric]:
        """What there is now; for the registry."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, each in self._children.items():
            family.add_metric(values, float(each.count))
        yield family


class Distribution:
    """How many values lie below each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts, self.sum = [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class QuickHistogram(Collector):
    """labels: their names; buckets: the upper bounds, in order."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, buckets: Sequence[float]) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._buckets, self._bounds = buckets, [*map(floatToGoString, buckets), "+Inf"]
        self._children: dict[tuple[str, ...], Distribution] = {}
        if not labels:
            self.labels()
        REGISTRY.register(self)

    def labels(self, *values: str) -> Distribution:
        """The one of these values, there from now on."""
        found = self._children.get(values)
        if found is None:
            found = self._children[values] = Distribution(self._buckets)
        return found

    def collect(self) -> Iterator[Metric]:
        """What there is now; for the registry."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, each in self._children.items():
            buckets = list(zip(self._bounds, map(float, accumulate(each.counts)), strict=True))
            family.add_metric(values, buckets, each.sum)
        yield family
