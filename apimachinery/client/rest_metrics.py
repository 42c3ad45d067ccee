"""rest_client_*: what /metrics says of our requests to the API server (component-base prometheus/restclient)."""

from __future__ import annotations

from urllib.parse import urlsplit

from apimachinery.kit.quick_metrics import QuickCounter, QuickHistogram

_REQUESTS = QuickCounter(
    "rest_client_requests_total",
    "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.",
    ["code", "method", "host"],
)
_SECONDS = QuickHistogram(
    "rest_client_request_duration_seconds",
    "[ALPHA] Request latency in seconds. Broken down by verb, and host.",
    ["verb", "host"],
    buckets=(0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0),
)


class RequestMetrics:
    """Of the requests to one server."""

    def __init__(self, server: str) -> None:
        self._host = urlsplit(server).netloc

    def ended(self, method: str, status: int | None, seconds: float | None = None) -> None:
        """status: of the answer, None when there was none. seconds: None for a watch, which is not timed."""
        _REQUESTS.labels("<error>" if status is None else str(status), method, self._host).inc()
        if seconds is not None:
            _SECONDS.labels(method, self._host).observe(seconds)
