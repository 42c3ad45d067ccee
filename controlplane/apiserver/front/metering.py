"""What /metrics says of requests: the names, labels and buckets of a kube-apiserver.

Source: k8s.io/apiserver/pkg/endpoints/metrics/metrics.go. A client chooses its words, so only those that mean something
become labels.
"""

from __future__ import annotations

import asyncio
from functools import cache, lru_cache

from aiohttp import web
from aiohttp.payload import Payload

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.kit.metrics import Counter, Gauge, Histogram
from apimachinery.meta.build import show_build
from controlplane.apiserver.discovery.version import version_info
from controlplane.apiserver.front.request_info import RequestInfo

_COMPONENT = "apiserver"
_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_ABOUT = ["group", "version", "resource", "subresource", "scope", "component"]
_METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "get": "GET", "list": "LIST", "watch": "WATCH"} | {
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_CONNECTING = frozenset({"log", "exec", "portforward", "attach", "proxy"})
_PLAIN = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SUBRESOURCES = frozenset(subresource.name for resource in CATALOGUE for subresource in resource.subresources)
_HEALTH = ("/healthz", "/livez", "/readyz")
_APPLY = "application/apply-patch+yaml"

_REQUESTS = Counter(
    "apiserver_request_total",
    "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
    "component, and HTTP response code.",
    ["verb", "dry_run", *_ABOUT, "code"],
)
_DURATION = Histogram(
    "apiserver_request_duration_seconds",
    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, "
    "scope and component.",
    ["verb", "dry_run", *_ABOUT],
    buckets=_SECONDS,
)
_SIZES = Histogram(
    "apiserver_response_sizes",
    "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
    ["verb", *_ABOUT],
    buckets=tuple(10.0**power for power in range(3, 10)),
)
_LONG = Gauge(
    "apiserver_longrunning_requests",
    "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and "
    "component. Not all requests are tracked this way.",
    ["verb", *_ABOUT],
)
_INFLIGHT = Gauge(
    "apiserver_current_inflight_requests",
    "Number of currently used inflight request limit of this apiserver per request kind.",
    ["request_kind"],
)
_WATCHED = Counter(
    "apiserver_watch_events_total", "Number of events sent in watch clients", ["group", "version", "kind"]
)
show_build(version_info())


def labels_of(request: web.BaseRequest, info: RequestInfo, code: int = 200) -> tuple[str, str, str, str, str, str]:
    """verb, group, version, resource, subresource, scope."""
    if not info.is_resource:
        return request.method if request.method in _PLAIN else "other", "", "", "", _path(info.path), ""
    if code >= 300 and CATALOGUE.find(info.group, info.version, info.resource) is None:
        return _METHODS.get(info.verb, "other"), "", "", "", "", ""
    scope = "cluster"
    if info.name or info.verb == "create":
        scope = "resource"
    elif info.namespace:
        scope = "namespace"
    verb = _METHODS.get(info.verb, "other")
    if info.subresource in _CONNECTING:
        verb = "CONNECT"
    elif verb == "LIST" and scope == "resource":
        verb = "GET"
    elif verb == "PATCH" and request.headers.get("Content-Type") == _APPLY:
        verb = "APPLY"
    subresource = info.subresource if code < 300 or info.subresource in _SUBRESOURCES else ""
    return verb, info.group, info.version, info.resource, subresource, scope


def _path(path: str) -> str:
    return path if path in _HEALTH else ""


def being_served(request: web.BaseRequest, info: RequestInfo, *, mutating: bool, long_running: bool) -> Gauge:
    """Counts a request while it is served: as in flight, or as one that takes long."""
    # Whether the resource is served is not known yet, hence the code.
    return _long(*labels_of(request, info, 404)) if long_running else _inflight("mutating" if mutating else "readOnly")


def record(request: web.BaseRequest, info: RequestInfo, response: web.StreamResponse, seconds: float | None) -> None:
    """A request has been answered. seconds: None for one that takes long."""
    labels = labels_of(request, info, response.status)
    dry_run = request.query.get("dryRun", "") if "dryRun" in request.query_string else ""
    counter, duration, sizes = _measures(
        dry_run if dry_run in ("", "All") else "invalid", str(response.status), *labels
    )
    counter.inc()
    if seconds is not None:
        duration.observe(seconds)
        if labels[0] in ("GET", "LIST") and isinstance(response, web.Response):
            body = response.body
            sizes.observe((body.size or 0) if isinstance(body, Payload) else len(body or b""))


class Tally:
    """Counts into a Counter once a turn of the event loop: a change is told to a thousand watches in a few."""

    __slots__ = ("_count", "_counter")

    def __init__(self, counter: Counter) -> None:
        self._counter, self._count = counter, 0

    def add(self, count: int) -> None:
        """So many more."""
        if not self._count and count:
            asyncio.get_running_loop().call_soon(self._settle)
        self._count += count

    def _settle(self) -> None:
        self._counter.inc(self._count)
        self._count = 0


@lru_cache(maxsize=1024)
def watched(group: str, version: str, kind: str) -> Tally:
    """Counts the events that watches of a kind are sent."""
    return Tally(_WATCHED.labels(group, version, kind))


# prometheus_client looks a child up under a lock, by strings it has just checked: 5 µs of each request's 130.
@cache
def _inflight(kind: str) -> Gauge:
    return _INFLIGHT.labels(kind)


@lru_cache(maxsize=1024)
def _long(*labels: str) -> Gauge:
    return _LONG.labels(*labels, _COMPONENT)


@lru_cache(maxsize=4096)
def _measures(dry_run: str, code: str, verb: str, *about: str) -> tuple[Counter, Histogram, Histogram]:
    return (
        _REQUESTS.labels(verb, dry_run, *about, _COMPONENT, code),
        _DURATION.labels(verb, dry_run, *about, _COMPONENT),
        _SIZES.labels(verb, *about, _COMPONENT),
    )
