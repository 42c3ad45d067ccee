"""coredns_dns_*: what every question costs to count is a few additions; the rest is done when somebody asks for it.

Names, labels and buckets are those of CoreDNS's `prometheus` plugin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from apimachinery.kit.metrics import REGISTRY

_SECONDS = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192)  # noqa: E501  # fmt: skip
_OCTETS = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)


class _Distribution:
    """Counts by bucket, and the sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def into(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        shown = [f"{bound:g}" for bound in self._bounds] + ["+Inf"]
        family.add_metric(labels, list(zip(shown, accumulate(self._counts), strict=True)), self._sum)


class _Sizes:
    """Of one server, zone and protocol."""

    __slots__ = ("answers", "queries", "seconds")

    def __init__(self, seconds: _Distribution) -> None:
        self.seconds = seconds
        self.queries, self.answers = _Distribution(_OCTETS), _Distribution(_OCTETS)


class Tally:
    """Questions of one kind that were answered in one way."""

    __slots__ = ("_sizes", "count")

    def __init__(self, sizes: _Sizes) -> None:
        self._sizes, self.count = sizes, 0

    def add(self, seconds: float, query: int, answer: int) -> None:
        """query, answer: octets."""
        self.count += 1
        sizes = self._sizes
        sizes.seconds.add(seconds)
        sizes.queries.add(query)
        sizes.answers.add(answer)


class Tallies:
    """All of a process; a collector of prometheus_client."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, str, str, str, str, str, bool], Tally] = {}
        self._sizes: dict[tuple[str, str, str], _Sizes] = {}
        self._seconds: dict[tuple[str, str], _Distribution] = {}

    def of(
        self, server: str, zone: str, proto: str, family: str, qtype: str, rcode: str, plugin: str, do: bool = False
    ) -> Tally:
        """family: "1" for IPv4, "2" for IPv6. plugin: who answered. do: whether signatures were asked for."""
        key = (server, zone, proto, family, qtype, rcode, plugin, do)
        found = self._tallies.get(key)
        if found is None:
            seconds = self._seconds.setdefault((server, zone), _Distribution(_SECONDS))
            sizes = self._sizes.setdefault((server, zone, proto), _Sizes(seconds))
            found = self._tallies[key] = Tally(sizes)
        return found

    def collect(self) -> Iterator[Metric]:
        requests: dict[tuple[str, ...], int] = {}
        responses: dict[tuple[str, ...], int] = {}
        signed: dict[tuple[str, ...], int] = {}
        for (server, zone, proto, family, qtype, rcode, plugin, do), tally in self._tallies.items():
            if do:
                signed[server, zone, ""] = signed.get((server, zone, ""), 0) + tally.count
            asked, given = (server, zone, "", proto, family, qtype), (server, zone, "", rcode, plugin)
            requests[asked] = requests.get(asked, 0) + tally.count
            responses[given] = responses.get(given, 0) + tally.count
        yield _counter(
            "coredns_dns_requests", "Counter of DNS requests made per zone, protocol and family.",
            ["server", "zone", "view", "proto", "family", "type"], requests,
        )  # fmt: skip
        yield _counter(
            "coredns_dns_do_requests", "Counter of DNS requests with DO bit set per zone.",
            ["server", "zone", "view"], signed,
        )  # fmt: skip
        yield _counter(
            "coredns_dns_responses", "Counter of response status codes.",
            ["server", "zone", "view", "rcode", "plugin"], responses,
        )  # fmt: skip
        seconds = HistogramMetricFamily(
            "coredns_dns_request_duration_seconds",
            "Histogram of the time (in seconds) each request took per zone.",
            labels=["server", "zone", "view"],
        )
        for (server, zone), distribution in self._seconds.items():
            distribution.into(seconds, [server, zone, ""])
        yield seconds
        labels = ["server", "zone", "view", "proto"]
        queries = HistogramMetricFamily(
            "coredns_dns_request_size_bytes",
            "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
            labels=labels,
        )
        answers = HistogramMetricFamily(
            "coredns_dns_response_size_bytes", "Size of the returned response in bytes.", labels=labels
        )
        for (server, zone, proto), sizes in self._sizes.items():
            sizes.queries.into(queries, [server, zone, "", proto])
            sizes.answers.into(answers, [server, zone, "", proto])
        yield queries
        yield answers


def _counter(name: str, words: str, labels: list[str], values: dict[tuple[str, ...], int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


TALLIES = Tallies()
REGISTRY.register(TALLIES)
