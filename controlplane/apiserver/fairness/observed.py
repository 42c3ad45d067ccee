"""Metrics of priority and fairness, by upstream's names (apiserver/pkg/util/flowcontrol/metrics)."""

from __future__ import annotations

from contextlib import suppress

from apimachinery.kit.metrics import Counter, Gauge
from apimachinery.kit.quick_metrics import QuickCounter, QuickHistogram
from controlplane.apiserver.fairness.level import Level

_LEVEL = ["priority_level"]
_FLOW = [*_LEVEL, "flow_schema"]

_DISPATCHED = QuickCounter("apiserver_flowcontrol_dispatched_requests_total", "Requests given a seat", _FLOW)
_REJECTED = Counter("apiserver_flowcontrol_rejected_requests_total", "Requests refused", [*_FLOW, "reason"])
_WAITING = Gauge("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait", _FLOW)
_EXECUTING = Gauge("apiserver_flowcontrol_current_executing_requests", "Requests on a seat", _FLOW)
_SEATS = Gauge("apiserver_flowcontrol_current_executing_seats", "Seats that are taken: one by each request", _FLOW)
_WAITED = QuickHistogram(
    "apiserver_flowcontrol_request_wait_duration_seconds",
    "How long requests waited for a seat; execute: whether they got one",
    [*_FLOW, "execute"],
    buckets=(0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
)
_NOMINAL = Gauge("apiserver_flowcontrol_nominal_limit_seats", "Seats of a level", _LEVEL)
_LOWER = Gauge("apiserver_flowcontrol_lower_limit_seats", "Seats that a level does not lend", _LEVEL)
_UPPER = Gauge("apiserver_flowcontrol_upper_limit_seats", "Seats of a level with all that it may borrow", _LEVEL)


class Load:
    """What is under way of one schema's requests at one level."""

    __slots__ = ("_names", "dispatched", "executing", "waited", "waiting")

    def __init__(self, level: str, schema: str) -> None:
        self.waiting, self.executing = 0, 0
        self._names = (level, schema)
        self.dispatched = _DISPATCHED.labels(*self._names)
        self.waited = _WAITED.labels(*self._names, "true")
        _WAITING.labels(*self._names).set_function(lambda: self.waiting)
        for gauge in (_EXECUTING, _SEATS):
            gauge.labels(*self._names).set_function(lambda: self.executing)

    def refused(self, reason: str, seconds: float) -> None:
        """After so many seconds of waiting."""
        _REJECTED.labels(*self._names, reason).inc()
        _WAITED.labels(*self._names, "false").observe(seconds)

    def forget(self) -> None:
        """Schema and level belong together no more."""
        for gauge in (_WAITING, _EXECUTING, _SEATS):
            gauge.remove(*self._names)


def observe_level(level: Level) -> None:
    """Its seats, of which it has configured some."""
    _NOMINAL.labels(level.name).set(level.seats)
    _LOWER.labels(level.name).set(level.seats - level.lendable)
    _UPPER.labels(level.name).set(level.seats + level.borrowing)


def forget_level(name: str) -> None:
    """There is no such level any more."""
    for gauge in (_NOMINAL, _LOWER, _UPPER):
        with suppress(KeyError):  # an exempt one
            gauge.remove(name)
