"""KubeletConfiguration (kubelet.config.k8s.io/v1beta1): the fields we honour, those we accept, the rest refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from apimachinery.kit.config import Problems
from apimachinery.meta.quantity import milli, value
from apimachinery.meta.times import parse_duration

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Fields of upstream's type that change nothing here: accepted, so that kubeadm's files can be used as they are.
_ACCEPTED = frozenset(
    [
        "allowedUnsafeSysctls",
        "configMapAndSecretChangeDetectionStrategy",
        "containerLogMaxWorkers",
        "containerLogMonitorInterval",
        "contentType",
        "cpuCFSQuota",
        "cpuCFSQuotaPeriod",
        "cpuManagerPolicy",
        "cpuManagerReconcilePeriod",
        "enableContentionProfiling",
        "enableControllerAttachDetach",
        "enableDebugFlagsHandler",
        "enableDebuggingHandlers",
        "enableProfilingHandler",
        "enableServer",
        "enableSystemLogHandler",
        "enforceNodeAllocatable",
        "eventBurst",
        "eventRecordQPS",
        "evictionMaxPodGracePeriod",
        "evictionMinimumReclaim",
        "evictionPressureTransitionPeriod",
        "evictionSoft",
        "evictionSoftGracePeriod",
        "failSwapOn",
        "featureGates",
        "fileCheckFrequency",
        "hairpinMode",
        "httpCheckFrequency",
        "imageMaximumGCAge",
        "imageMinimumGCAge",
        "imageServiceEndpoint",
        "iptablesDropBit",
        "iptablesMasqueradeBit",
        "kernelMemcgNotification",
        "kubeAPIBurst",
        "kubeAPIQPS",
        "kubeletCgroups",
        "localStorageCapacityIsolation",
        "logging",
        "makeIPTablesUtilChains",
        "maxOpenFiles",
        "maxParallelImagePulls",
        "memoryManagerPolicy",
        "memorySwap",
        "memoryThrottlingFactor",
        "nodeLeaseDurationSeconds",
        "nodeStatusMaxImages",
        "oomScoreAdj",
        "podsPerCore",
        "protectKernelDefaults",
        "readOnlyPort",
        "registryBurst",
        "registryPullQPS",
        "reservedSystemCPUs",
        "rotateCertificates",
        "runOnce",
        "runtimeRequestTimeout",
        "seccompDefault",
        "serverTLSBootstrap",
        "showHiddenMetricsForVersion",
        "shutdownGracePeriod",
        "shutdownGracePeriodCriticalPods",
        "staticPodURL",
        "streamingConnectionIdleTimeout",
        "syncFrequency",
        "systemCgroups",
        "systemReservedCgroup",
        "kubeReservedCgroup",
        "tlsCipherSuites",
        "tlsMinVersion",
        "topologyManagerPolicy",
        "topologyManagerScope",
        "tracing",
        "volumePluginDir",
        "volumeStatsAggPeriod",
        "cgroupsPerQOS",
        "singleProcessOOMKill",
        "imagePullCredentialsVerificationPolicy",
    ]
)

Read = Callable[[Any], Any]


def _duration(text: Any) -> float:
    return parse_duration(str(text))


def _integer(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"expected a number, not {number!r}")
    return number


def _boolean(setting: Any) -> bool:
    if not isinstance(setting, bool):
        raise ValueError(f"expected true or false, not {setting!r}")
    return setting


def _strings(listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        raise ValueError("expected a list of strings")
    return tuple(listed)


def _amounts(listed: Any) -> dict[str, int]:
    """A map of quantities; cpu in millicores."""
    if not isinstance(listed, dict):
        raise ValueError("expected a map")
    return {key: milli(str(text)) if key == "cpu" else value(str(text)) for key, text in listed.items()}


def _thresholds(listed: Any) -> dict[str, str]:
    if not isinstance(listed, dict):
        raise ValueError("expected a map")
    return {str(key): str(text) for key, text in listed.items()}


def _taints(listed: Any) -> tuple[dict[str, str], ...]:
    if not isinstance(listed, list) or not all(isinstance(taint, dict) and "key" in taint for taint in listed):
        raise ValueError("expected a list of taints")
    return tuple(dict(taint) for taint in listed)


# Path in the document → (field of our configuration, how to read it).
FIELDS: dict[str, tuple[str, Read]] = {
    "address": ("address", str),
    "port": ("port", _integer),
    "healthzBindAddress": ("healthz_address", str),
    "healthzPort": ("healthz_port", _integer),
    "staticPodPath": ("static_pod_path", Path),
    "clusterDNS": ("cluster_dns", _strings),
    "clusterDomain": ("cluster_domain", str),
    "resolvConf": ("resolv_conf", Path),
    "cgroupRoot": ("cgroup_root", str),
    "cgroupDriver": ("cgroup_driver", str),
    "maxPods": ("max_pods", _integer),
    "podPidsLimit": ("pod_pids_limit", _integer),
    "podCIDR": ("pod_cidr", str),
    "podLogsDir": ("pod_logs_dir", Path),
    "providerID": ("provider_id", str),
    "containerRuntimeEndpoint": ("runtime_endpoint", str),
    "serializeImagePulls": ("serialize_image_pulls", _boolean),
    "imageGCHighThresholdPercent": ("image_gc_high", _integer),
    "imageGCLowThresholdPercent": ("image_gc_low", _integer),
    "containerLogMaxSize": ("log_max_size", lambda text: value(str(text))),
    "containerLogMaxFiles": ("log_max_files", _integer),
    "evictionHard": ("eviction_hard", _thresholds),
    "systemReserved": ("system_reserved", _amounts),
    "kubeReserved": ("kube_reserved", _amounts),
    "registerNode": ("register_node", _boolean),
    "registerWithTaints": ("register_with_taints", _taints),
    "nodeStatusUpdateFrequency": ("status_update", _duration),
    "nodeStatusReportFrequency": ("status_report", _duration),
    "tlsCertFile": ("tls_cert_file", Path),
    "tlsPrivateKeyFile": ("tls_key_file", Path),
    "authentication.x509.clientCAFile": ("client_ca_file", Path),
    "authentication.anonymous.enabled": ("anonymous", _boolean),
    "authentication.webhook.enabled": ("webhook_authn", _boolean),
    "authentication.webhook.cacheTTL": ("webhook_authn_ttl", _duration),
    "authorization.mode": ("authorization_mode", str),
    "authorization.webhook.cacheAuthorizedTTL": ("authorized_ttl", _duration),
    "authorization.webhook.cacheUnauthorizedTTL": ("unauthorized_ttl", _duration),
    "crashLoopBackOff.maxContainerRestartPeriod": ("crash_backoff_max", _duration),
}


def read_config(path: Path, problems: Problems) -> dict[str, Any]:
    """The fields of our configuration that the file sets. Everything wrong with it goes to `problems`."""
    try:
        document = yaml.load(path.read_text(), Loader=_Loader) or {}
    except OSError as error:
        problems.add("--config", f"failed to load kubelet config file, path: {path}, error: {error.strerror}")
        return {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.add(str(path), f"error: {' '.join(str(error).split())}")
        return {}
    if not isinstance(document, dict):
        problems.add(str(path), "not a KubeletConfiguration")
        return {}
    for key, expected in (("apiVersion", "kubelet.config.k8s.io/v1beta1"), ("kind", "KubeletConfiguration")):
        if document.get(key) != expected:
            problems.add(f"{path}: {key}", f"expected {expected}, not {document.get(key)!r}")
    found: dict[str, Any] = {}
    _walk({key: entry for key, entry in document.items() if key not in ("apiVersion", "kind")}, "", found, problems)
    return found


def _walk(section: Mapping[str, Any], prefix: str, found: dict[str, Any], problems: Problems) -> None:
    for key, entry in section.items():
        path = f"{prefix}{key}"
        if path in FIELDS:
            field, read = FIELDS[path]
            # Zero durations, empty strings and nulls mean the default, as in upstream's type.
            if entry in (None, "", "0s"):
                continue
            try:
                found[field] = read(entry)
            except (ValueError, TypeError) as error:
                problems.add(path, f"invalid value {entry!r}: {error}")
        elif any(known.startswith(f"{path}.") for known in FIELDS) and isinstance(entry, dict):
            _walk(entry, f"{path}.", found, problems)
        elif path not in _ACCEPTED:
            problems.add(path, f'strict decoding error: unknown field "{path}"')
