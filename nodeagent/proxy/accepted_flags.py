"""Flags of upstream's kube-proxy that change nothing here, and those that it warns of."""

from __future__ import annotations

from apimachinery.kit.config import boolean
from apimachinery.kit.flags import Kind
from apimachinery.meta.common_flags import CLIENT, LOGS, duration, gates

ACCEPTED: dict[str, Kind] = {
    **CLIENT,
    **LOGS,
    "bind-address": str,
    "bind-address-hard-fail": boolean,
    "config-sync-period": duration,
    "feature-gates": gates,
    "ipvs-exclude-cidrs": str,
    "ipvs-min-sync-period": duration,
    "ipvs-scheduler": str,
    "ipvs-strict-arp": boolean,
    "ipvs-sync-period": duration,
    "ipvs-tcp-timeout": duration,
    "ipvs-tcpfin-timeout": duration,
    "ipvs-udp-timeout": duration,
    "pod-bridge-interface": str,
    "pod-interface-name-prefix": str,
    "profiling": boolean,
    "show-hidden-metrics-for-version": str,
}
_OLD = "This flag is deprecated and will be removed in a future release. Please use --{}-bind-address instead."
DEPRECATED = {f"{what}-port": _OLD.format(what) for what in ("healthz", "metrics")}
