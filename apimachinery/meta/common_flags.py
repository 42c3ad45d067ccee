"""Flags that every 1.32 component takes and that change nothing here (component-base, apiserver's options)."""

from __future__ import annotations

from apimachinery.kit.config import boolean
from apimachinery.kit.flags import Kind, decimal, integer
from apimachinery.meta import feature_gates, times

RELEASE = "v1.32.0"
"""What --version says."""


def duration(text: str) -> float:
    """Seconds. Raises ValueError with Go's words."""
    return times.parse_duration(text)


def gates(text: str) -> dict[str, bool]:
    """Feature gates. Raises ValueError with upstream's words."""
    asked = feature_gates.parse(text)
    for what in feature_gates.refusals(asked):
        raise ValueError(what)
    return asked


def unsupported(why: str) -> Kind:
    """Of a flag that must not be passed over in silence: what would be wrong without its effect."""

    def not_here(text: str) -> str:
        raise ValueError(why)

    return not_here


def log_format(text: str) -> str:
    """Of log lines. Raises ValueError with upstream's words."""
    if text not in ("text", "json"):
        raise ValueError(f'format: Invalid value: "{text}": Unsupported log format')
    return text


LOGS: dict[str, Kind] = {
    "log-flush-frequency": duration,
    "log-json-info-buffer-size": str,
    "log-json-split-stream": boolean,
    "log-text-info-buffer-size": str,
    "log-text-split-stream": boolean,
    "logging-format": log_format,
    "vmodule": str,
}
METRICS: dict[str, Kind] = {
    "allow-metric-labels": str,
    "allow-metric-labels-manifest": str,
    "disabled-metrics": str,
    "show-hidden-metrics-for-version": str,
}
SERVING: dict[str, Kind] = {
    "cert-dir": str,
    "disable-http2-serving": boolean,
    "http2-max-streams-per-connection": integer,
    "permit-address-sharing": boolean,
    "tls-sni-cert-key": unsupported("one certificate is served to everybody"),
}
CLIENT: dict[str, Kind] = {
    "kube-api-burst": integer,
    "kube-api-content-type": str,
    "kube-api-qps": decimal,
    "master": str,
}
DELEGATED: dict[str, Kind] = {
    "authentication-skip-lookup": boolean,
    "authentication-token-webhook-cache-ttl": duration,
    "authentication-tolerate-lookup-failure": boolean,
    "authorization-webhook-cache-authorized-ttl": duration,
    "authorization-webhook-cache-unauthorized-ttl": duration,
    "client-ca-file": str,
    "requestheader-allowed-names": str,
    "requestheader-client-ca-file": str,
    "requestheader-extra-headers-prefix": str,
    "requestheader-group-headers": str,
    "requestheader-uid-headers": str,
    "requestheader-username-headers": str,
}
COMPONENT: dict[str, Kind] = {
    **LOGS, **METRICS, **SERVING, **CLIENT, **DELEGATED,
    "contention-profiling": boolean, "emulated-version": str, "feature-gates": gates, "permit-port-sharing": boolean,
}  # fmt: skip
"""Of kube-controller-manager and kube-scheduler. Who is let in, and by what, the API server is asked."""
