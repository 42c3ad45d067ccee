"""What /metrics says of KMS plug-ins (k8s.io/apiserver/pkg/storage/value/encrypt/envelope/metrics): which of their keys
are in use, so that an administrator sees when an old one is not any more. Keys are told by their hashes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter, Gauge, Histogram
from controlplane.apiserver.encryption.envelope import hashed
from controlplane.apiserver.reloads import server_identity

_PREFIX = "apiserver_envelope_encryption_"
_KEPT = 100  # keys of which something is told, as upstream

_LATENCY = Histogram(
    f"{_PREFIX}kms_operations_latency_seconds",
    "Calls of KMS plug-ins by their gRPC status",
    ["provider_name", "method_name", "grpc_status_code"],
    buckets=[0.0001 * 2**power for power in range(20)],
)
_USES = Counter(
    f"{_PREFIX}key_id_hash_total",
    "Uses of a key of a plug-in's",
    ["transformation_type", "provider_name", "key_id_hash", "apiserver_id_hash"],
)
_USED = Gauge(
    f"{_PREFIX}key_id_hash_last_timestamp_seconds",
    "When a key of a plug-in's was used last",
    ["transformation_type", "provider_name", "key_id_hash", "apiserver_id_hash"],
)
_TOLD = Gauge(
    f"{_PREFIX}key_id_hash_status_last_timestamp_seconds",
    "When a plug-in's Status named a key last",
    ["provider_name", "key_id_hash", "apiserver_id_hash"],
)
_INVALID = Counter(
    f"{_PREFIX}invalid_key_id_from_status_total",
    "Names of keys that no Status may tell",
    ["provider_name", "error"],
)
_SEEDS = Gauge(
    f"{_PREFIX}dek_source_cache_size",
    "Seeds that are remembered; about as many calls a restart costs the plug-in",
    ["provider_name"],
)

_uses: OrderedDict[tuple[str, str, str], tuple[Callable[[], None], Callable[[float], None]]] = OrderedDict()
_told: OrderedDict[tuple[str, str], None] = OrderedDict()


class Metrics:
    """Of one provider."""

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider, self._clock = provider, clock

    def called(self, method: str, status: str, seconds: float) -> None:
        """method: as in /v2.KeyManagementService/Status; status: gRPC's, as Go names it."""
        _LATENCY.labels(self._provider, method, status).observe(seconds)

    def used(self, transformation: str, key_id: str) -> None:
        """transformation: from_storage or to_storage."""
        key = transformation, self._provider, key_id
        found = _uses.get(key)
        if found is None:
            labels = transformation, self._provider, hashed(key_id), server_identity()
            found = _uses[key] = _USES.labels(*labels).inc, _USED.labels(*labels).set
            if len(_uses) > _KEPT:
                (kind, provider, old), _ = _uses.popitem(last=False)
                for metric in (_USES, _USED):
                    metric.remove(kind, provider, hashed(old), server_identity())
        else:
            _uses.move_to_end(key)
        found[0]()
        found[1](self._clock.now().timestamp())

    def told(self, key_id: str) -> None:
        """By Status."""
        _told[self._provider, key_id] = None
        _told.move_to_end((self._provider, key_id))
        _TOLD.labels(self._provider, hashed(key_id), server_identity()).set(self._clock.now().timestamp())
        if len(_told) > _KEPT:
            (provider, old), _ = _told.popitem(last=False)
            _TOLD.remove(provider, hashed(old), server_identity())

    def invalid(self, key_id: str) -> None:
        """Told by Status, and no name of a key."""
        _INVALID.labels(self._provider, "too_long" if key_id else "empty").inc()

    def seeds(self, count: int) -> None:
        """That are remembered."""
        _SEEDS.labels(self._provider).set(count)
