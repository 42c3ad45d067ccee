"""The kubelet's configuration: flags over the file over the defaults, checked as a whole.

All three meet in one document (`config_file`), which /configz shows; `Config` holds what of it is used, ready for use.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery.kit.config import ConfigError, FlagError, Problems
from apimachinery.meta.config_fields import WrongType
from apimachinery.meta.quantity import milli, value
from apimachinery.meta.times import parse_duration

from . import config_rules
from . import gates as feature_gates
from .config_dropins import merged
from .config_file import SCHEMA, Document, defaults, nested, put, read_document
from .config_flags import FILE_FLAGS, OWN_FLAGS, flag_parser

_NODE_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Durations in seconds, sizes in bytes, cpu in millicores. warnings: for the log."""

    node_name: str = ""
    node_ips: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    bootstrap_kubeconfig: Path | None = None
    root_dir: Path = Path("/var/lib/kubelet")
    cert_dir: Path = Path("/var/lib/kubelet/pki")
    pod_logs_dir: Path = Path("/var/log/pods")
    runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    image_endpoint: str = ""
    static_pod_path: Path | None = None
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = ""
    resolv_conf: Path | None = Path("/etc/resolv.conf")
    cgroup_root: str = "/"
    cgroup_driver: str = "cgroupfs"
    cgroups_per_qos: bool = True
    enforce_node_allocatable: tuple[str, ...] = ("pods",)
    system_reserved_cgroup: str = ""
    kube_reserved_cgroup: str = ""
    cpu_cfs_quota: bool = True
    fail_swap_on: bool = True
    swap_behavior: str = ""
    protect_kernel_defaults: bool = False
    oom_score_adj: int = -999
    max_open_files: int = 1_000_000
    address: str = "0.0.0.0"
    port: int = 10250
    read_only_port: int = 0
    enable_server: bool = True
    enable_debugging_handlers: bool = True
    enable_system_log_handler: bool = True
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 10248
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_cipher_suites: tuple[str, ...] = ()
    tls_min_version: str = ""
    rotate_certificates: bool = False
    server_tls_bootstrap: bool = False
    client_ca_file: Path | None = None
    anonymous: bool = False
    webhook_authn: bool = True
    webhook_authn_ttl: float = 120.0
    authorization_mode: str = "Webhook"
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0
    streaming_idle_timeout: float = 14400.0
    max_pods: int = 110
    pods_per_core: int = 0
    pod_pids_limit: int = -1
    pod_cidr: str = ""
    provider_id: str = ""
    serialize_image_pulls: bool = True
    max_parallel_image_pulls: int | None = None
    registry_qps: int = 5
    registry_burst: int = 10
    image_gc_high: int = 85
    image_gc_low: int = 80
    image_min_gc_age: float = 120.0
    image_max_gc_age: float = 0.0
    log_max_size: int = 10 * 1024 * 1024
    log_max_files: int = 5
    log_max_workers: int = 1
    log_monitor_interval: float = 10.0
    eviction_hard: Mapping[str, str] = field(default_factory=lambda: dict(SCHEMA["evictionHard"][1]))
    eviction_soft: Mapping[str, str] = field(default_factory=dict)
    eviction_soft_grace: Mapping[str, float] = field(default_factory=dict)
    eviction_minimum_reclaim: Mapping[str, str] = field(default_factory=dict)
    eviction_max_pod_grace: int = 0
    eviction_transition: float = 300.0
    local_storage_isolation: bool = True
    system_reserved: Mapping[str, int] = field(default_factory=dict)
    kube_reserved: Mapping[str, int] = field(default_factory=dict)
    shutdown_grace: float = 0.0
    shutdown_grace_critical: float = 0.0
    shutdown_grace_by_priority: tuple[Mapping[str, int], ...] = ()
    register_node: bool = True
    register_with_taints: tuple[Mapping[str, str], ...] = ()
    node_labels: Mapping[str, str] = field(default_factory=dict)
    status_update: float = 10.0
    status_report: float = 300.0
    status_max_images: int = 50
    lease_seconds: int = 40
    sync_frequency: float = 60.0
    file_check: float = 20.0
    volume_stats_period: float = 60.0
    volume_plugin_dir: Path = Path(SCHEMA["volumePluginDir"][1])
    crash_backoff_max: float = 300.0
    seccomp_default: bool = False
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    event_qps: int = 50
    event_burst: int = 100
    cloud_provider: str = ""
    credential_config: Path | None = None
    credential_bin_dir: Path | None = None
    verbosity: int = 0
    gates: Mapping[str, bool] = field(default_factory=lambda: dict(feature_gates.GATES))
    document: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """The KubeletConfiguration in force, for /configz."""
        return nested(dict(self.document))


def _amounts(listed: Mapping[str, str]) -> dict[str, int]:
    """Quantities; cpu in millicores."""
    return {key: milli(text) if key == "cpu" else value(text) for key, text in listed.items()}


def _durations(listed: Mapping[str, str]) -> dict[str, float]:
    return {key: parse_duration(text) for key, text in listed.items()}


def _path(text: str) -> Path | None:
    return Path(text) if text else None


# Path in the document → (field of our configuration, how to make it).
_FROM_DOCUMENT: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "address": ("address", str),
    "port": ("port", int),
    "readOnlyPort": ("read_only_port", int),
    "enableServer": ("enable_server", bool),
    "enableDebuggingHandlers": ("enable_debugging_handlers", bool),
    "enableSystemLogHandler": ("enable_system_log_handler", bool),
    "healthzBindAddress": ("healthz_address", str),
    "healthzPort": ("healthz_port", int),
    "staticPodPath": ("static_pod_path", _path),
    "clusterDNS": ("cluster_dns", tuple),
    "clusterDomain": ("cluster_domain", str),
    "resolvConf": ("resolv_conf", _path),
    "cgroupRoot": ("cgroup_root", str),
    "cgroupDriver": ("cgroup_driver", str),
    "cgroupsPerQOS": ("cgroups_per_qos", bool),
    "enforceNodeAllocatable": ("enforce_node_allocatable", tuple),
    "systemReservedCgroup": ("system_reserved_cgroup", str),
    "kubeReservedCgroup": ("kube_reserved_cgroup", str),
    "cpuCFSQuota": ("cpu_cfs_quota", bool),
    "failSwapOn": ("fail_swap_on", bool),
    "memorySwap.swapBehavior": ("swap_behavior", str),
    "protectKernelDefaults": ("protect_kernel_defaults", bool),
    "oomScoreAdj": ("oom_score_adj", int),
    "maxOpenFiles": ("max_open_files", int),
    "maxPods": ("max_pods", int),
    "podsPerCore": ("pods_per_core", int),
    "podPidsLimit": ("pod_pids_limit", int),
    "podCIDR": ("pod_cidr", str),
    "podLogsDir": ("pod_logs_dir", Path),
    "providerID": ("provider_id", str),
    "containerRuntimeEndpoint": ("runtime_endpoint", str),
    "imageServiceEndpoint": ("image_endpoint", str),
    "serializeImagePulls": ("serialize_image_pulls", bool),
    "maxParallelImagePulls": ("max_parallel_image_pulls", int),
    "registryPullQPS": ("registry_qps", int),
    "registryBurst": ("registry_burst", int),
    "imageGCHighThresholdPercent": ("image_gc_high", int),
    "imageGCLowThresholdPercent": ("image_gc_low", int),
    "imageMinimumGCAge": ("image_min_gc_age", parse_duration),
    "imageMaximumGCAge": ("image_max_gc_age", parse_duration),
    "containerLogMaxSize": ("log_max_size", value),
    "containerLogMaxFiles": ("log_max_files", int),
    "containerLogMaxWorkers": ("log_max_workers", int),
    "containerLogMonitorInterval": ("log_monitor_interval", parse_duration),
    "evictionHard": ("eviction_hard", dict),
    "evictionSoft": ("eviction_soft", dict),
    "evictionSoftGracePeriod": ("eviction_soft_grace", _durations),
    "evictionMinimumReclaim": ("eviction_minimum_reclaim", dict),
    "evictionMaxPodGracePeriod": ("eviction_max_pod_grace", int),
    "evictionPressureTransitionPeriod": ("eviction_transition", parse_duration),
    "localStorageCapacityIsolation": ("local_storage_isolation", bool),
    "systemReserved": ("system_reserved", _amounts),
    "kubeReserved": ("kube_reserved", _amounts),
    "shutdownGracePeriod": ("shutdown_grace", parse_duration),
    "shutdownGracePeriodCriticalPods": ("shutdown_grace_critical", parse_duration),
    "shutdownGracePeriodByPodPriority": ("shutdown_grace_by_priority", tuple),
    "registerNode": ("register_node", bool),
    "registerWithTaints": ("register_with_taints", tuple),
    "nodeStatusUpdateFrequency": ("status_update", parse_duration),
    "nodeStatusReportFrequency": ("status_report", parse_duration),
    "nodeStatusMaxImages": ("status_max_images", int),
    "nodeLeaseDurationSeconds": ("lease_seconds", int),
    "syncFrequency": ("sync_frequency", parse_duration),
    "fileCheckFrequency": ("file_check", parse_duration),
    "volumeStatsAggPeriod": ("volume_stats_period", parse_duration),
    "volumePluginDir": ("volume_plugin_dir", Path),
    "tlsCertFile": ("tls_cert_file", _path),
    "tlsPrivateKeyFile": ("tls_key_file", _path),
    "tlsCipherSuites": ("tls_cipher_suites", tuple),
    "tlsMinVersion": ("tls_min_version", str),
    "rotateCertificates": ("rotate_certificates", bool),
    "serverTLSBootstrap": ("server_tls_bootstrap", bool),
    "authentication.x509.clientCAFile": ("client_ca_file", _path),
    "authentication.anonymous.enabled": ("anonymous", bool),
    "authentication.webhook.enabled": ("webhook_authn", bool),
    "authentication.webhook.cacheTTL": ("webhook_authn_ttl", parse_duration),
    "authorization.mode": ("authorization_mode", str),
    "authorization.webhook.cacheAuthorizedTTL": ("authorized_ttl", parse_duration),
    "authorization.webhook.cacheUnauthorizedTTL": ("unauthorized_ttl", parse_duration),
    "streamingConnectionIdleTimeout": ("streaming_idle_timeout", parse_duration),
    "crashLoopBackOff.maxContainerRestartPeriod": ("crash_backoff_max", parse_duration),
    "seccompDefault": ("seccomp_default", bool),
    "allowedUnsafeSysctls": ("allowed_unsafe_sysctls", tuple),
    "eventRecordQPS": ("event_qps", int),
    "eventBurst": ("event_burst", int),
}


def load(argv: Sequence[str]) -> Config:
    """Read the command line and the file it names. Raises ConfigError with everything that is wrong; SystemExit for
    --help and --version."""
    problems = Problems()
    try:
        given = flag_parser().read(argv)
    except FlagError as error:
        raise ConfigError([f"failed to parse kubelet flag: {error}"]) from None
    document, warnings = defaults(), list[str]()
    if given.config:
        document |= read_document(Path(given.config), problems, warnings)
    if directory := vars(given).pop("config-dir"):
        document = merged(document, Path(directory), problems)
    of_file = document.get("featureGates") or {}
    settings: dict[str, Any] = {}
    for flag, text in vars(given).items():
        if flag == "config" or text is None:
            continue
        name, read = OWN_FLAGS.get(flag) or FILE_FLAGS[flag]
        try:
            if flag in FILE_FLAGS:
                put(document, name, read(text))
            else:
                settings[name] = read(text)
        except (ValueError, WrongType) as error:
            problems.add(f"--{flag}", f"invalid argument {text!r}: {error}")
    if of_file:
        document["featureGates"] = of_file | document["featureGates"]  # a flag changes the gates that it names
    settings.pop("", None)
    if "root_dir" in settings:
        settings.setdefault("cert_dir", settings["root_dir"] / "pki")
    settings["node_name"] = str(settings.get("node_name") or socket.gethostname()).strip().lower()
    config_rules.check(document, problems)
    _check(settings, document, problems)
    if problems:
        for warning in warnings:
            problems.add("warning", warning)
    problems.raise_if_any()
    return Config(
        **settings,
        **_fields(document),
        gates=feature_gates.resolve(document.get("featureGates") or {}),
        document=document,
        warnings=tuple(warnings),
    )


def _fields(document: Document) -> dict[str, Any]:
    return {name: make(document[path]) for path, (name, make) in _FROM_DOCUMENT.items() if path in document}


def _check(settings: Mapping[str, Any], document: Document, problems: Problems) -> None:
    name, kubeconfig, bootstrap = (settings.get(key) for key in ("node_name", "kubeconfig", "bootstrap_kubeconfig"))
    if not _NODE_NAME.match(str(name)) or len(str(name)) > 253:
        problems.add("--hostname-override", f"{name!r} is no valid node name (RFC 1123 subdomain)")
    if bootstrap is not None and kubeconfig is None:
        problems.add("--bootstrap-kubeconfig", "needs --kubeconfig, the file to write")
    elif kubeconfig is not None and not kubeconfig.is_file() and bootstrap is None:
        problems.add("--kubeconfig", f"{kubeconfig}: no such file")
    if (provider := settings.get("cloud_provider", "")) not in ("", "external"):
        problems.add("--cloud-provider", f"{provider!r}: must be empty or external")
    if document["cgroupDriver"] not in ("cgroupfs", "systemd"):
        problems.add("cgroupDriver", f"{document['cgroupDriver']!r}: must be cgroupfs or systemd")
