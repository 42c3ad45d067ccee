"""How long etcd takes, by operation and type (k8s.io/apiserver/pkg/storage/etcd3/metrics)."""

import time
from functools import lru_cache

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.kit.quick_metrics import Count, Distribution, QuickCounter, QuickHistogram

from .interface import FutureRevision, KeyExists, KeyMissing, RevisionMismatch, StorageError
from .keys import ROOT, registry_prefix

_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_LATENCY = QuickHistogram(
    "etcd_request_duration_seconds",
    "Etcd request latency in seconds for each operation and object type.",
    ["operation", "type"],
    buckets=_SECONDS,
)
_REQUESTS = QuickCounter(
    "etcd_requests_total", "Etcd request counts for each operation and object type.", ["operation", "type"]
)
_ERRORS = QuickCounter(
    "etcd_request_errors_total", "Etcd failed request counts for each operation and object type.", ["operation", "type"]
)
# Answers, not failures.
_ANSWERS = (KeyExists, KeyMissing, RevisionMismatch, FutureRevision)


class timed:  # used as a verb; a generator in its place takes three times as long
    """Counts and times one request. operation: create, update, delete, get, list. key: of an object or a prefix."""

    __slots__ = ("_began", "_errors", "_latency", "_requests")

    def __init__(self, operation: str, key: str) -> None:
        self._latency, self._requests, self._errors = _measures(operation, type_of(key))

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StorageError) and not isinstance(error, _ANSWERS):
            self._errors.inc()
        self._latency.observe(time.monotonic() - self._began)
        self._requests.inc()


def type_of(key: str) -> str:
    """The resource of a key, with its group: `pods`, `leases.coordination.k8s.io`; "" for what is no object."""
    if not key.startswith(ROOT):
        return ""
    first, _, rest = key[len(ROOT) :].partition("/")
    second = rest.partition("/")[0]
    return _type(first, second if first in _TWO_WORDS or "." in first else "")


@lru_cache(maxsize=1024)
def _type(first: str, second: str) -> str:
    known = _KNOWN.get(f"{ROOT}{first}/{second}/" if second else f"{ROOT}{first}/")
    if known is not None:
        return known
    # A custom resource's key has its group before its plural.
    return f"{second}.{first}" if "." in first and second else ""


_KNOWN = {
    registry_prefix(resource): f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    for resource in reversed(list(CATALOGUE))
}
_TWO_WORDS = frozenset(prefix[len(ROOT) :].split("/")[0] for prefix in _KNOWN if prefix.count("/") > 3)


@lru_cache(maxsize=1024)
def _measures(operation: str, kind: str) -> tuple[Distribution, Count, Count]:
    return _LATENCY.labels(operation, kind), _REQUESTS.labels(operation, kind), _ERRORS.labels(operation, kind)
