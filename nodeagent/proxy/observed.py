"""The proxy's metrics; names are upstream's."""

from __future__ import annotations

from apimachinery.kit.metrics import Counter, Gauge, Histogram

_BUCKETS = tuple(0.001 * 2**power for power in range(15))

SYNC_SECONDS = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds", "SyncProxyRules latency", ["ip_family"], buckets=_BUCKETS
)
SYNC_FULL_SECONDS = Histogram(
    "kubeproxy_sync_full_proxy_rules_duration_seconds",
    "SyncProxyRules latency of full resyncs",
    ["ip_family"],
    buckets=_BUCKETS,
)
LAST_SYNC = Gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "The last time proxy rules were successfully synced",
    ["ip_family"],
)  # fmt: skip
LAST_QUEUED = Gauge(
    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "The last time a sync of proxy rules was queued",
    ["ip_family"],
)  # fmt: skip
RULES = Gauge(
    "kubeproxy_sync_proxy_rules_iptables_total", "Number of iptables rules owned by kube-proxy", ["ip_family", "table"]
)
RESTORE_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
    "Cumulative proxy iptables restore failures",
    ["ip_family"],
)
NFTABLES_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
    "Cumulative proxy nftables sync failures",
    ["ip_family"],
)
FAILURES = {"iptables-restore": RESTORE_FAILURES, "nft": NFTABLES_FAILURES}
REPAIRS = Counter(
    "kubelab_proxy_rules_repaired_total", "Resyncs because rules in the kernel were not as they should be",
    ["ip_family"],
)  # fmt: skip
PROGRAMMING_SECONDS = Histogram(
    "kubeproxy_network_programming_duration_seconds",
    "In Cluster Network Programming Latency in seconds",
    ["ip_family"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 60),
)
STALE_FLOWS = Counter(
    "kubeproxy_conntrack_reconciler_deleted_entries_total", "Conntrack entries deleted", ["ip_family"]
)
