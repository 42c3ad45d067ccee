"""What /metrics says of values on their way to and from the store (k8s.io/apiserver/pkg/storage/value/metrics.go)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery.kit.metrics import Counter, Histogram

READING, WRITING = "from_storage", "to_storage"
IDENTITY, UNKNOWN = "identity", "unknown"
"""What stands for a prefix: of what was read as it is, and of what no provider reads."""
_NO_CALL = "unknown-non-grpc"
"""The status of a failure that no plug-in told."""
_PREFIX = "apiserver_storage_"
_FASTEST = 5e-6  # seconds

_LATENCY = Histogram(
    f"{_PREFIX}transformation_duration_seconds",
    "Seconds that values took to be encrypted or decrypted",
    ["transformation_type", "transformer_prefix"],
    buckets=[_FASTEST * 2**power for power in range(25)],
)
_OPERATIONS = Counter(
    f"{_PREFIX}transformation_operations_total",
    "Values that were encrypted or decrypted, and those that could not be",
    ["resource", "transformation_type", "transformer_prefix", "status"],
)
_MISSES = Counter(
    f"{_PREFIX}envelope_transformation_cache_misses_total", "Values whose key a KMS plug-in was asked for"
)
_GENERATED = Histogram(
    f"{_PREFIX}data_key_generation_duration_seconds",
    "Seconds that data encryption keys took to be made",
    buckets=[_FASTEST * 2**power for power in range(14)],
)
_NOT_GENERATED = Counter(f"{_PREFIX}data_key_generation_failures_total", "Data encryption keys that could not be made")


class PluginFailed(ValueError):
    """A KMS plug-in did not do it. status: gRPC's, as Go names it."""

    def __init__(self, sentence: str, status: str) -> None:
        super().__init__(sentence)
        self.status = status


class Transformations:
    """Of the values of one resource: "secrets", "deployments.apps". Upstream knows it of requests alone, not of what
    its watch cache reads; here it is that of the key."""

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._good: dict[tuple[str, str], tuple[Callable[[], None], Callable[[float], None]]] = {}

    def done(self, kind: str, prefixes: Sequence[str], seconds: float) -> None:
        """kind: READING or WRITING; prefixes: of a key within its provider, then the provider's."""
        for prefix in prefixes:
            found = self._good.get((kind, prefix))
            if found is None:
                found = self._good[kind, prefix] = (
                    _OPERATIONS.labels(self._resource, kind, prefix, "OK").inc,
                    _LATENCY.labels(kind, prefix).observe,
                )
            found[0]()
            found[1](seconds)

    def failed(self, kind: str, prefixes: Sequence[str], error: Exception | None = None) -> None:
        """The same of what was not done."""
        status = error.status if isinstance(error, PluginFailed) else _NO_CALL
        for prefix in prefixes:
            _OPERATIONS.labels(self._resource, kind, prefix, status).inc()


def missed() -> None:
    """A value is to be read whose key is not known."""
    _MISSES.inc()


def generated(seconds: float) -> None:
    """A key was made."""
    _GENERATED.observe(seconds)
