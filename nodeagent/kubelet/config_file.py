"""KubeletConfiguration (kubelet.config.k8s.io/v1beta1, Kubernetes 1.32): every field, its type and its default.

A document is kept flat: the path of a field (`authentication.x509.clientCAFile`) → its JSON value. Maps whose keys are
not fields (`evictionHard`) and lists are leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apimachinery.kit.config import Problems
from apimachinery.meta.config_fields import WrongType, decode, mismatch
from apimachinery.meta.yaml_text import BadYaml, load, unmarshal_errors

Document = dict[str, Any]

_KIND = "KubeletConfiguration"

# Path → (Go type, default). A "*" says that zero is a setting of its own; of other fields zero means the default.
SCHEMA: dict[str, tuple[str, Any]] = {
    "enableServer": ("*bool", True),
    "staticPodPath": ("string", ""),
    "podLogsDir": ("string", "/var/log/pods"),
    "syncFrequency": ("duration", "1m0s"),
    "fileCheckFrequency": ("duration", "20s"),
    "httpCheckFrequency": ("duration", "20s"),
    "staticPodURL": ("string", ""),
    "staticPodURLHeader": ("map[string]strings", None),
    "address": ("string", "0.0.0.0"),
    "port": ("int32", 10250),
    "readOnlyPort": ("int32", 0),
    "tlsCertFile": ("string", ""),
    "tlsPrivateKeyFile": ("string", ""),
    "tlsCipherSuites": ("[]string", None),
    "tlsMinVersion": ("string", ""),
    "rotateCertificates": ("bool", False),
    "serverTLSBootstrap": ("bool", False),
    "authentication.x509.clientCAFile": ("string", ""),
    "authentication.webhook.enabled": ("*bool", True),
    "authentication.webhook.cacheTTL": ("duration", "2m0s"),
    "authentication.anonymous.enabled": ("*bool", False),
    "authorization.mode": ("string", "Webhook"),
    "authorization.webhook.cacheAuthorizedTTL": ("duration", "5m0s"),
    "authorization.webhook.cacheUnauthorizedTTL": ("duration", "30s"),
    "registryPullQPS": ("*int32", 5),
    "registryBurst": ("int32", 10),
    "eventRecordQPS": ("*int32", 50),
    "eventBurst": ("int32", 100),
    "enableDebuggingHandlers": ("*bool", True),
    "enableContentionProfiling": ("bool", False),
    "healthzPort": ("*int32", 10248),
    "healthzBindAddress": ("string", "127.0.0.1"),
    "oomScoreAdj": ("*int32", -999),
    "clusterDomain": ("string", ""),
    "clusterDNS": ("[]string", None),
    "streamingConnectionIdleTimeout": ("duration", "4h0m0s"),
    "nodeStatusUpdateFrequency": ("duration", "10s"),
    "nodeStatusReportFrequency": ("duration", "5m0s"),
    "nodeLeaseDurationSeconds": ("int32", 40),
    "imageMinimumGCAge": ("duration", "2m0s"),
    "imageMaximumGCAge": ("duration", "0s"),
    "imageGCHighThresholdPercent": ("*int32", 85),
    "imageGCLowThresholdPercent": ("*int32", 80),
    "volumeStatsAggPeriod": ("duration", "1m0s"),
    "kubeletCgroups": ("string", ""),
    "systemCgroups": ("string", ""),
    "cgroupRoot": ("string", ""),
    "cgroupsPerQOS": ("*bool", True),
    "cgroupDriver": ("string", "cgroupfs"),
    "cpuManagerPolicy": ("string", "none"),
    "cpuManagerPolicyOptions": ("map[string]string", None),
    "cpuManagerReconcilePeriod": ("duration", "10s"),
    "memoryManagerPolicy": ("string", "None"),
    "topologyManagerPolicy": ("string", "none"),
    "topologyManagerScope": ("string", "container"),
    "topologyManagerPolicyOptions": ("map[string]string", None),
    "qosReserved": ("map[string]string", None),
    "runtimeRequestTimeout": ("duration", "2m0s"),
    "hairpinMode": ("string", "promiscuous-bridge"),
    "maxPods": ("int32", 110),
    "podCIDR": ("string", ""),
    "podPidsLimit": ("*int64", -1),
    "resolvConf": ("*string", "/etc/resolv.conf"),
    "runOnce": ("bool", False),
    "cpuCFSQuota": ("*bool", True),
    "cpuCFSQuotaPeriod": ("duration", "100ms"),
    "nodeStatusMaxImages": ("*int32", 50),
    "maxOpenFiles": ("int64", 1_000_000),
    "contentType": ("string", "application/vnd.kubernetes.protobuf"),
    "kubeAPIQPS": ("*int32", 50),
    "kubeAPIBurst": ("int32", 100),
    "serializeImagePulls": ("*bool", True),
    "maxParallelImagePulls": ("*int32", None),
    "evictionHard": (
        "map[string]string",
        {
            "imagefs.available": "15%",
            "imagefs.inodesFree": "5%",
            "memory.available": "100Mi",
            "nodefs.available": "10%",
            "nodefs.inodesFree": "5%",
        },
    ),
    "evictionSoft": ("map[string]string", None),
    "evictionSoftGracePeriod": ("map[string]string", None),
    "evictionPressureTransitionPeriod": ("duration", "5m0s"),
    "evictionMaxPodGracePeriod": ("int32", 0),
    "evictionMinimumReclaim": ("map[string]string", None),
    "podsPerCore": ("int32", 0),
    "enableControllerAttachDetach": ("*bool", True),
    "protectKernelDefaults": ("bool", False),
    "makeIPTablesUtilChains": ("*bool", True),
    "iptablesMasqueradeBit": ("*int32", 14),
    "iptablesDropBit": ("*int32", 15),
    "featureGates": ("map[string]bool", None),
    "failSwapOn": ("*bool", True),
    "memorySwap.swapBehavior": ("string", ""),
    "containerLogMaxSize": ("string", "10Mi"),
    "containerLogMaxFiles": ("*int32", 5),
    "containerLogMaxWorkers": ("*int32", 1),
    "containerLogMonitorInterval": ("*duration", "10s"),
    "configMapAndSecretChangeDetectionStrategy": ("string", "Watch"),
    "systemReserved": ("map[string]string", None),
    "kubeReserved": ("map[string]string", None),
    "reservedSystemCPUs": ("string", ""),
    "showHiddenMetricsForVersion": ("string", ""),
    "systemReservedCgroup": ("string", ""),
    "kubeReservedCgroup": ("string", ""),
    "enforceNodeAllocatable": ("[]string", ["pods"]),
    "allowedUnsafeSysctls": ("[]string", None),
    "volumePluginDir": ("string", "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"),
    "providerID": ("string", ""),
    "kernelMemcgNotification": ("bool", False),
    "logging.format": ("string", "text"),
    "logging.flushFrequency": ("*", 5_000_000_000),
    "logging.verbosity": ("int32", 0),
    "logging.vmodule": ("[]object", None),
    "logging.options": ("*", {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}}),
    "enableSystemLogHandler": ("*bool", True),
    "enableSystemLogQuery": ("*bool", False),
    "shutdownGracePeriod": ("duration", "0s"),
    "shutdownGracePeriodCriticalPods": ("duration", "0s"),
    "shutdownGracePeriodByPodPriority": ("[]object", None),
    "crashLoopBackOff.maxContainerRestartPeriod": ("*duration", None),
    "reservedMemory": ("[]object", None),
    "enableProfilingHandler": ("*bool", True),
    "enableDebugFlagsHandler": ("*bool", True),
    "seccompDefault": ("*bool", False),
    "memoryThrottlingFactor": ("*float64", 0.9),
    "registerWithTaints": ("[]object", None),
    "registerNode": ("*bool", True),
    "tracing": ("*", None),
    "localStorageCapacityIsolation": ("*bool", True),
    "containerRuntimeEndpoint": ("string", "unix:///run/containerd/containerd.sock"),
    "imageServiceEndpoint": ("string", ""),
    "failCgroupV1": ("*bool", False),
}

_SECTIONS = frozenset(
    path[:end] for path in SCHEMA for end in range(len(path)) if path[end] == "."
)  # every prefix that is an object


def defaults() -> Document:
    """What holds for a field that nobody set."""
    return {path: default for path, (_, default) in SCHEMA.items() if default is not None}


def read_document(path: Path, problems: Problems, warnings: list[str]) -> Document:
    """The fields that the file sets. Everything wrong with it goes to `problems`, in upstream's words.

    Unknown and repeated fields are only warned of: v1beta1 is decoded leniently when it cannot be strictly
    (pkg/kubelet/kubeletconfig/util/codec). Of a repeated field the last setting counts.
    """
    strict: list[str] = []
    wrong = Problems()
    found = flat(read_body(path, "error", wrong, strict), strict, wrong, "error")
    for each in wrong:
        told = f"failed to load Kubelet config file {path}, {each.replace(':', '', 1)}"
        problems.add(f"failed to load kubelet config file, path: {path}, error", told)
    if "nodeStatusUpdateFrequency" in found:
        # A file from before there were leases means both: how often to look, and how often to tell.
        found.setdefault("nodeStatusReportFrequency", found["nodeStatusUpdateFrequency"])
    if strict:
        told = ", ".join(strict)
        warnings.append(f"using lenient decoding as strict decoding failed: strict decoding error: {told}")
    return found


def read_body(path: Path, where: str, problems: Problems, strict: list[str]) -> dict[str, Any]:
    """What the file says, as JSON has it. Everything wrong goes to `problems`, as of `where`; to `strict` what only
    strict decoding minds."""
    try:
        repeated: list[str] = []
        text = path.read_bytes()
        document = load(text, repeated) or {}
    except OSError as error:
        absent = f"open {path}: {(error.strerror or str(error)).lower()}"
        problems.add(where, f'failed to read kubelet config file "{path}", error: {absent}')
        return {}
    except BadYaml as error:
        problems.add(where, f"failed to decode: {error}")
        return {}
    if not isinstance(document, dict):
        problems.add(where, "failed to decode: not a KubeletConfiguration")
        return {}
    if not text:
        problems.add(where, f'kubelet config file "{path}" was empty')
    elif why := _of_another_kind(document, text):
        problems.add(where, f"failed to decode: {why}")
    if repeated:
        strict.append(unmarshal_errors(repeated))
    return {key: entry for key, entry in document.items() if key not in ("apiVersion", "kind", "metadata")}


def _of_another_kind(document: Mapping[str, Any], text: bytes) -> str | None:
    """What Go's decoder says of a document that is no KubeletConfiguration of v1beta1; None of one that is."""
    for key, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not document.get(key):
            return f"Object '{shown}' is missing in '{text.decode(errors='replace')}'"
    kind, version = document["kind"], document["apiVersion"]
    if (kind, version) == (_KIND, "kubelet.config.k8s.io/v1beta1"):
        return None
    known = f'no kind "{kind}" is registered for version "{version}"'
    return f'{known} in scheme "pkg/kubelet/apis/config/scheme/scheme.go:33"'


def flat(body: Mapping[str, Any], strict: list[str], problems: Problems, where: str) -> Document:
    """The fields that are set."""
    found: Document = {}
    _walk(body, "", found, strict, problems, where)
    return found


def _walk(
    section: Mapping[str, Any], prefix: str, found: Document, strict: list[str], problems: Problems, where: str
) -> None:
    for key, entry in section.items():
        path = f"{prefix}{key}"
        if path in _SECTIONS:
            if isinstance(entry, dict):
                _walk(entry, f"{path}.", found, strict, problems, where)
            elif entry is not None:
                problems.add(where, f"failed to decode: {mismatch(_KIND, path, entry, 'struct')}")
        elif path not in SCHEMA:
            strict.append(f'unknown field "{path}"')
        elif entry is not None:
            try:
                put(found, path, entry)
            except WrongType as error:
                problems.add(where, f"failed to decode: {error}")


def put(document: Document, path: str, entry: Any) -> None:
    """Set a field; zero leaves the default where upstream's type cannot tell it from nothing. Raises WrongType."""
    kind = SCHEMA[path][0]
    decoded = decode(_KIND, path, kind.removeprefix("*"), entry)
    if decoded in ("", 0, "0s") and not isinstance(decoded, bool) and not kind.startswith("*"):
        return
    document[path] = decoded


def nested(document: Document) -> dict[str, Any]:
    """The document as JSON has it, with its sections: what /configz shows."""
    result: dict[str, Any] = {}
    for path, entry in document.items():
        section = result
        *parents, leaf = path.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        section[leaf] = entry
    return result
