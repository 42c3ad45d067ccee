"""What /metrics says of requests: the names, labels and buckets of a kube-apiserver.

Source: k8s.io/apiserver/pkg/endpoints/metrics/metrics.go. A client chooses its words, so only those that mean something
become labels.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache, lru_cache

from aiohttp import web
from aiohttp.payload import Payload

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.kit.metrics import Counter, Gauge
from apimachinery.kit.quick_metrics import Count, Distribution, QuickCounter, QuickHistogram
from apimachinery.meta.build import show_build, version_info
from controlplane.apiserver.authn.remarks import Remarks
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.registry.call import Call

_COMPONENT = "apiserver"
_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_ABOUT = ["group", "version", "resource", "subresource", "scope", "component"]
_METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "get": "GET", "list": "LIST", "watch": "WATCH"} | {
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_CONNECTING = frozenset({"log", "exec", "portforward", "attach", "proxy"})
_PLAIN = {method: method for method in ("GET", "POST", "PUT", "PATCH", "DELETE")} | {"HEAD": "GET"}
_SUBRESOURCES = frozenset(subresource.name for resource in CATALOGUE for subresource in resource.subresources)
_HEALTH = ("/healthz", "/livez", "/readyz")
_APPLY = "application/apply-patch+yaml"

_REQUESTS = QuickCounter(
    "apiserver_request_total",
    "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
    "component, and HTTP response code.",
    ["verb", "dry_run", *_ABOUT, "code"],
)
_DURATION = QuickHistogram(
    "apiserver_request_duration_seconds",
    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, "
    "scope and component.",
    ["verb", "dry_run", *_ABOUT],
    buckets=_SECONDS,
)
_SIZES = QuickHistogram(
    "apiserver_response_sizes",
    "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
    ["verb", *_ABOUT],
    buckets=tuple(10.0**power for power in range(3, 10)),
)
# Without what is shorter, for an aim is not missed by that.
_SLI = QuickHistogram(
    "apiserver_request_sli_duration_seconds",
    "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds "
    "for each verb, group, version, resource, subresource, scope and component.",
    ["verb", *_ABOUT],
    buckets=_SECONDS[2:],
)
_TERMINATED = Counter(
    "apiserver_request_terminations_total",
    "Number of requests which apiserver terminated in self-defense.",
    ["verb", *_ABOUT, "code"],
)
_DEPRECATED = Gauge(
    "apiserver_requested_deprecated_apis",
    "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and "
    "removed_release.",
    ["group", "version", "resource", "subresource", "removed_release"],
)
_LONG = Gauge(
    "apiserver_longrunning_requests",
    "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and "
    "component. Not all requests are tracked this way.",
    ["verb", *_ABOUT],
)
_INFLIGHT = Gauge(
    "apiserver_current_inflight_requests",
    "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
    ["request_kind"],
)
_WATCHED = Counter(
    "apiserver_watch_events_total", "Number of events sent in watch clients", ["group", "version", "kind"]
)
show_build(version_info())


def labels_of(request: web.BaseRequest, info: RequestInfo, code: int = 200) -> tuple[str, str, str, str, str, str]:
    """verb, group, version, resource, subresource, scope."""
    if not info.is_resource:
        return _PLAIN.get(request.method, "other"), "", "", "", _path(info.path), ""
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


class Highest:
    """How many there are, and how many at most there were in the last second."""

    __slots__ = ("_before", "_clock", "_count", "_high", "_since")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._since = clock, clock()
        self._count = self._high = self._before = 0

    def inc(self) -> None:
        self._turn()
        self._count += 1
        self._high = max(self._high, self._count)

    def dec(self) -> None:
        self._turn()
        self._count -= 1

    def read(self) -> int:
        """At most so many at once, in this second and the one before."""
        self._turn()
        return max(self._high, self._before)

    def _turn(self) -> None:
        now = self._clock()
        passed = now - self._since
        if passed >= 1.0:
            self._before = self._high if passed < 2.0 else self._count
            self._high, self._since = self._count, now


def being_served(request: web.BaseRequest, info: RequestInfo, *, mutating: bool, long_running: bool) -> Gauge | Highest:
    """Counts a request while it is served: as in flight, or as one that takes long."""
    # Whether the resource is served is not known yet, hence the code.
    return _long(*labels_of(request, info, 404)) if long_running else _inflight("mutating" if mutating else "readOnly")


def record(
    request: web.BaseRequest, info: RequestInfo, response: web.StreamResponse, seconds: float, said: Remarks | None
) -> None:
    """A request has been answered. said: where others took of its time; None where nobody did."""
    labels = labels_of(request, info, response.status)
    dry_run = request.query.get("dryRun", "") if "dryRun" in request.query_string else ""
    counter, duration, sli, sizes = _measures(
        dry_run if dry_run in ("", "All") else "invalid", str(response.status), *labels
    )
    counter.inc()
    duration.observe(seconds)
    sli.observe(seconds if said is None else max(0.0, seconds - said.waited - said.validated))
    if labels[0] in ("GET", "LIST") and isinstance(response, web.Response):
        body = response.body
        sizes.observe((body.size or 0) if isinstance(body, Payload) else len(body or b""))


def terminated(request: web.BaseRequest, info: RequestInfo, code: int) -> None:
    """The server gave a request up, or would not begin with it."""
    _TERMINATED.labels(*labels_of(request, info, code), _COMPONENT, str(code)).inc()


def deprecated(call: Call) -> None:
    """Somebody uses a version that is to go."""
    resource = call.resource
    _DEPRECATED.labels(resource.group, resource.version, resource.plural, call.subresource, "").set(1)
    call.annotate("k8s.io/deprecated", "true")


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
def _inflight(kind: str) -> Highest:
    found = Highest()
    _INFLIGHT.labels(kind).set_function(found.read)
    return found


@lru_cache(maxsize=1024)
def _long(*labels: str) -> Gauge:
    return _LONG.labels(*labels, _COMPONENT)


@lru_cache(maxsize=4096)
def _measures(
    dry_run: str, code: str, verb: str, *about: str
) -> tuple[Count, Distribution, Distribution, Distribution]:
    component = "" if about[3] in _HEALTH else _COMPONENT  # a path of health is nobody's, as upstream
    return (
        _REQUESTS.labels(verb, dry_run, *about, component, code),
        _DURATION.labels(verb, dry_run, *about, component),
        _SLI.labels(verb, *about, component),
        _SIZES.labels(verb, *about, component),
    )
