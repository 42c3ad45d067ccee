"""Flags of upstream's kube-apiserver that change nothing here, and those that it warns of."""

from __future__ import annotations

from apimachinery.kit.config import boolean
from apimachinery.kit.flags import Kind, decimal, integer
from apimachinery.meta.common_flags import LOGS, METRICS, SERVING, duration, unsupported


def _storage(text: str) -> str:
    """Raises ValueError with upstream's words."""
    if text not in ("", "etcd3"):
        raise ValueError(
            "--storage-backend invalid, allowed values: etcd3. If not specified, it will default to 'etcd3'"
        )
    return text


def _goaway(text: str) -> float:
    """Raises ValueError with upstream's words."""
    if not 0 <= decimal(text) <= 0.02:
        raise ValueError("--goaway-chance can not be less than 0 or greater than 0.02")
    return decimal(text)


ACCEPTED: dict[str, Kind] = {
    **LOGS,
    **METRICS,
    **SERVING,
    "apiserver-count": integer,
    "cloud-config": str,
    "cloud-provider": str,
    "contention-profiling": boolean,
    "debug-socket-path": str,
    "default-watch-cache-size": integer,
    "delete-collection-workers": integer,
    "egress-selector-config-file": unsupported("connections leave by the machine's own routes"),
    "emulated-version": str,
    "enable-garbage-collector": boolean,
    "enable-logs-handler": boolean,
    "endpoint-reconciler-type": str,
    "etcd-count-metric-poll-period": duration,
    "etcd-db-metric-poll-interval": duration,
    "etcd-servers-overrides": unsupported("all objects are kept in one store: --etcd-servers"),
    "goaway-chance": _goaway,  # of HTTP/2, which is not spoken
    "kubelet-port": integer,
    "kubelet-read-only-port": integer,
    "kubelet-timeout": duration,
    "lease-reuse-duration-seconds": integer,
    "livez-grace-period": duration,
    "max-connection-bytes-per-sec": integer,
    "peer-advertise-ip": str,
    "peer-advertise-port": str,
    "peer-ca-file": str,
    "requestheader-uid-headers": str,
    "shutdown-watch-termination-grace-period": duration,
    "storage-backend": _storage,
    "storage-initialization-timeout": duration,
    "storage-media-type": str,
    "tracing-config-file": str,
    "watch-cache": boolean,
    "watch-cache-sizes": str,
}
DEPRECATED = {
    "admission-control": (
        "Use --enable-admission-plugins or --disable-admission-plugins instead. Will be removed in a future version."
    ),
    "apiserver-count": "apiserver-count is deprecated and will be removed in a future version.",
    "audit-webhook-batch-initial-backoff": "Deprecated, use --audit-webhook-initial-backoff instead.",
    "default-watch-cache-size": (
        "watch caches are sized automatically and this flag will be removed in a future version"
    ),
    "enable-logs-handler": "This flag will be removed in v1.19",
    "kubelet-port": "kubelet-port is deprecated and will be removed.",
    "kubelet-read-only-port": "kubelet-read-only-port is deprecated and will be removed.",
}
