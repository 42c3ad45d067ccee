"""The kubelet's flags: those that are settings of their own, and those that set a field of the file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apimachinery.kit.config import boolean
from apimachinery.kit.flags import FlagParser, Joined, Kind, integer, switch
from apimachinery.meta import feature_gates
from apimachinery.meta.common_flags import LOGS, duration

from . import config_rules
from .node.render import VERSION

_LABEL = re.compile(r"^([-a-zA-Z0-9.]+/)?[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$")


def _taints(text: str) -> list[dict[str, str]]:
    """`key=value:effect,key:effect`."""
    result = []
    for part in filter(None, text.split(",")):
        pair, _, effect = part.rpartition(":")
        key, _, setting = pair.partition("=")
        taint = {"key": key, "effect": effect, **({"value": setting} if setting else {})}
        if not effect or not config_rules.valid_taint(taint):
            raise ValueError(f"invalid taint spec: {part}")
        result.append(taint)
    return result


def _labels(text: str) -> dict[str, str]:
    """`key=value,…`."""
    result = {}
    for part in filter(None, text.split(",")):
        key, _, setting = part.partition("=")
        if not _LABEL.match(key):
            raise ValueError(f"invalid label: {part}")
        result[key] = setting
    return result


def _pairs(text: str) -> dict[str, str]:
    """`memory.available<100Mi,…` or `cpu=100m,…`."""
    result = {}
    for part in filter(None, text.split(",")):
        key, sign, setting = part.replace("<", "=", 1).partition("=")
        if not sign:
            raise ValueError(f"malformed pair, expect string=string: {part}")
        result[key.strip()] = setting.strip()
    return result


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(part)) for part in text.split(","))


def _listed(text: str) -> list[str]:
    return list(filter(None, text.split(",")))


# Flags that are settings of their own: flag → (field, how to read its text).
OWN_FLAGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "kubeconfig": ("kubeconfig", Path),
    "bootstrap-kubeconfig": ("bootstrap_kubeconfig", Path),
    "hostname-override": ("node_name", str),
    "node-ip": ("node_ips", _addresses),
    "root-dir": ("root_dir", Path),
    "cert-dir": ("cert_dir", Path),
    "node-labels": ("node_labels", _labels),
    "cloud-provider": ("cloud_provider", str),
    "image-credential-provider-config": ("credential_config", Path),
    "image-credential-provider-bin-dir": ("credential_bin_dir", Path),
    "pod-infra-container-image": ("", str),
    "v": ("verbosity", int),
}
# Flags that set a field of the file: flag → (path, how to read its text).
FILE_FLAGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "container-runtime-endpoint": ("containerRuntimeEndpoint", str),
    "image-service-endpoint": ("imageServiceEndpoint", str),
    "pod-manifest-path": ("staticPodPath", str),
    "cluster-dns": ("clusterDNS", _listed),
    "cluster-domain": ("clusterDomain", str),
    "resolv-conf": ("resolvConf", str),
    "cgroup-root": ("cgroupRoot", str),
    "cgroup-driver": ("cgroupDriver", str),
    "address": ("address", str),
    "port": ("port", int),
    "read-only-port": ("readOnlyPort", int),
    "enable-debugging-handlers": ("enableDebuggingHandlers", boolean),
    "healthz-bind-address": ("healthzBindAddress", str),
    "healthz-port": ("healthzPort", int),
    "tls-cert-file": ("tlsCertFile", str),
    "tls-private-key-file": ("tlsPrivateKeyFile", str),
    "rotate-certificates": ("rotateCertificates", boolean),
    "rotate-server-certificates": ("serverTLSBootstrap", boolean),
    "client-ca-file": ("authentication.x509.clientCAFile", str),
    "anonymous-auth": ("authentication.anonymous.enabled", boolean),
    "authentication-token-webhook": ("authentication.webhook.enabled", boolean),
    "authentication-token-webhook-cache-ttl": ("authentication.webhook.cacheTTL", str),
    "authorization-mode": ("authorization.mode", str),
    "max-pods": ("maxPods", int),
    "pods-per-core": ("podsPerCore", int),
    "node-status-max-images": ("nodeStatusMaxImages", int),
    "pod-max-pids": ("podPidsLimit", int),
    "pod-cidr": ("podCIDR", str),
    "provider-id": ("providerID", str),
    "register-node": ("registerNode", boolean),
    "register-with-taints": ("registerWithTaints", _taints),
    "serialize-image-pulls": ("serializeImagePulls", boolean),
    "image-gc-high-threshold": ("imageGCHighThresholdPercent", int),
    "image-gc-low-threshold": ("imageGCLowThresholdPercent", int),
    "eviction-hard": ("evictionHard", _pairs),
    "eviction-soft": ("evictionSoft", _pairs),
    "eviction-soft-grace-period": ("evictionSoftGracePeriod", _pairs),
    "eviction-minimum-reclaim": ("evictionMinimumReclaim", _pairs),
    "kube-reserved": ("kubeReserved", _pairs),
    "system-reserved": ("systemReserved", _pairs),
    "fail-cgroupv1": ("failCgroupV1", boolean),
    "fail-swap-on": ("failSwapOn", boolean),
    "seccomp-default": ("seccompDefault", boolean),
    "allowed-unsafe-sysctls": ("allowedUnsafeSysctls", _listed),
    "feature-gates": ("featureGates", feature_gates.parse),
    "node-status-update-frequency": ("nodeStatusUpdateFrequency", str),
    "container-log-max-size": ("containerLogMaxSize", str),
    "container-log-max-files": ("containerLogMaxFiles", int),
    "enable-server": ("enableServer", boolean),
    "sync-frequency": ("syncFrequency", str),
    "file-check-frequency": ("fileCheckFrequency", str),
    "http-check-frequency": ("httpCheckFrequency", str),
    "authorization-webhook-cache-authorized-ttl": ("authorization.webhook.cacheAuthorizedTTL", str),
    "authorization-webhook-cache-unauthorized-ttl": ("authorization.webhook.cacheUnauthorizedTTL", str),
    "tls-cipher-suites": ("tlsCipherSuites", _listed),
    "tls-min-version": ("tlsMinVersion", str),
    "streaming-connection-idle-timeout": ("streamingConnectionIdleTimeout", str),
    "registry-qps": ("registryPullQPS", int),
    "registry-burst": ("registryBurst", int),
    "event-qps": ("eventRecordQPS", int),
    "event-burst": ("eventBurst", int),
    "kube-api-content-type": ("contentType", str),
    "kube-api-qps": ("kubeAPIQPS", int),
    "kube-api-burst": ("kubeAPIBurst", int),
    "contention-profiling": ("enableContentionProfiling", boolean),
    "oom-score-adj": ("oomScoreAdj", int),
    "max-open-files": ("maxOpenFiles", int),
    "protect-kernel-defaults": ("protectKernelDefaults", boolean),
    "make-iptables-util-chains": ("makeIPTablesUtilChains", boolean),
    "iptables-masquerade-bit": ("iptablesMasqueradeBit", int),
    "iptables-drop-bit": ("iptablesDropBit", int),
    "hairpin-mode": ("hairpinMode", str),
    "runtime-request-timeout": ("runtimeRequestTimeout", str),
    "minimum-image-ttl-duration": ("imageMinimumGCAge", str),
    "volume-stats-agg-period": ("volumeStatsAggPeriod", str),
    "volume-plugin-dir": ("volumePluginDir", str),
    "enable-controller-attach-detach": ("enableControllerAttachDetach", boolean),
    "local-storage-capacity-isolation": ("localStorageCapacityIsolation", boolean),
    "kernel-memcg-notification": ("kernelMemcgNotification", boolean),
    "kubelet-cgroups": ("kubeletCgroups", str),
    "system-cgroups": ("systemCgroups", str),
    "cgroups-per-qos": ("cgroupsPerQOS", boolean),
    "cpu-cfs-quota": ("cpuCFSQuota", boolean),
    "cpu-cfs-quota-period": ("cpuCFSQuotaPeriod", str),
    "cpu-manager-policy": ("cpuManagerPolicy", str),
    "cpu-manager-policy-options": ("cpuManagerPolicyOptions", _pairs),
    "cpu-manager-reconcile-period": ("cpuManagerReconcilePeriod", str),
    "memory-manager-policy": ("memoryManagerPolicy", str),
    "topology-manager-policy": ("topologyManagerPolicy", str),
    "topology-manager-policy-options": ("topologyManagerPolicyOptions", _pairs),
    "topology-manager-scope": ("topologyManagerScope", str),
    "qos-reserved": ("qosReserved", _pairs),
    "reserved-cpus": ("reservedSystemCPUs", str),
    "enforce-node-allocatable": ("enforceNodeAllocatable", _listed),
    "kube-reserved-cgroup": ("kubeReservedCgroup", str),
    "system-reserved-cgroup": ("systemReservedCgroup", str),
    "eviction-max-pod-grace-period": ("evictionMaxPodGracePeriod", int),
    "eviction-pressure-transition-period": ("evictionPressureTransitionPeriod", str),
}

# Flags of upstream that change nothing here.
ACCEPTED: dict[str, Kind] = {
    **LOGS,
    "application-metrics-count-limit": integer,
    "boot-id-file": str,
    "cloud-config": str,
    "container-hints": str,
    "containerd": str,
    "containerd-namespace": str,
    "enable-load-reader": boolean,
    "event-storage-age-limit": str,
    "event-storage-event-limit": str,
    "exit-on-lock-contention": boolean,
    "experimental-allocatable-ignore-eviction": boolean,
    "experimental-mounter-path": str,
    "global-housekeeping-interval": duration,
    "housekeeping-interval": duration,
    "keep-terminated-pod-volumes": boolean,
    "lock-file": str,
    "log-cadvisor-usage": boolean,
    "machine-id-file": str,
    "manifest-url": str,
    "manifest-url-header": str,
    "maximum-dead-containers": integer,
    "maximum-dead-containers-per-container": integer,
    "minimum-container-ttl-duration": duration,
    "reserved-memory": str,
    "runonce": boolean,
    "show-hidden-metrics-for-version": str,
    "runtime-cgroups": str,
    "storage-driver-buffer-duration": duration,
    "storage-driver-db": str,
    "storage-driver-host": str,
    "storage-driver-password": str,
    "storage-driver-secure": boolean,
    "storage-driver-table": str,
    "storage-driver-user": str,
}
_CADVISORS = (
    "application-metrics-", "boot-id-", "container-hints", "containerd", "enable-load-", "event-storage-", "global-",
    "log-cadvisor-", "machine-id-", "storage-driver-",
)  # fmt: skip
_TO_FILE = (
    "This parameter should be set via the config file specified by the Kubelet's --config flag. See "
    "https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for more information."
)
_OF_FILE = (
    "log-json-info-buffer-size", "log-json-split-stream", "log-text-info-buffer-size", "log-text-split-stream",
    "logging-format", "manifest-url", "manifest-url-header", "reserved-memory", "runonce",
)  # fmt: skip
_OUTSIDE = {"fail-cgroupv1", "provider-id", "seccomp-default"}
_OF_CADVISOR = (
    "This is a cadvisor flag that was mistakenly registered with the Kubelet. Due to legacy concerns, it will follow "
    "the standard CLI deprecation timeline before being removed."
)
_TO_EVICTION = "Use --eviction-hard or --eviction-soft instead. Will be removed in a future version."
DEPRECATED: dict[str, str] = {
    **dict.fromkeys({*FILE_FLAGS, *_OF_FILE} - _OUTSIDE, _TO_FILE),
    **dict.fromkeys((flag for flag in ACCEPTED if flag.startswith(_CADVISORS)), _OF_CADVISOR),
    **dict.fromkeys(
        ("maximum-dead-containers", "maximum-dead-containers-per-container", "minimum-container-ttl-duration"),
        _TO_EVICTION,
    ),
    "experimental-allocatable-ignore-eviction": "will be removed in 1.25 or later.",
    "experimental-mounter-path": "will be removed in 1.25 or later. in favor of using CSI.",
    "keep-terminated-pod-volumes": "will be removed in a future version",
    "pod-infra-container-image": (
        "will be removed in 1.35. Image garbage collector will get sandbox image information from CRI."
    ),
}

_LISTS = (_labels, _listed, _pairs, feature_gates.parse)


def flag_parser() -> FlagParser:
    """What it reads is text, of numbers and switches such that is one."""
    parser = FlagParser("kubelet", "The node agent.", VERSION, silent=True)
    parser.accept(ACCEPTED)
    parser.deprecate(DEPRECATED)
    parser.add_argument("--config", help="KubeletConfiguration file; flags win over it")
    parser.add_argument("--config-dir", dest="config-dir", help="files *.conf that change it, one after the other")
    for flag, (_, kind) in (OWN_FLAGS | FILE_FLAGS).items():
        names = [f"--{flag}", *([f"-{flag}"] if len(flag) == 1 else [])]
        if kind is boolean:
            parser.add_argument(*names, dest=flag, type=switch, nargs="?", const="true")
        elif kind in _LISTS:
            parser.add_argument(*names, dest=flag, action=Joined)
        else:
            parser.add_argument(*names, dest=flag, type=_number if kind is int else str)
    return parser


def _number(text: str) -> str:
    return str(integer(text))
