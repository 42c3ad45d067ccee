"""What a KubeletConfiguration must hold (pkg/kubelet/apis/config/validation), each rule with upstream's sentence."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from apimachinery.kit.config import Problems
from apimachinery.kit.tls_choice import TLSChoice
from apimachinery.meta import quantity
from apimachinery.meta.feature_gates import refusals
from apimachinery.meta.times import parse_duration

from . import gates
from .config_eviction import check_eviction
from .config_file import Document

# Field → (flag, least, most): between, inclusive.
_RANGES = {
    "imageGCHighThresholdPercent": ("--image-gc-high-threshold", 0, 100),
    "imageGCLowThresholdPercent": ("--image-gc-low-threshold", 0, 100),
    "iptablesDropBit": ("--iptables-drop-bit", 0, 31),
    "iptablesMasqueradeBit": ("--iptables-masquerade-bit", 0, 31),
    "oomScoreAdj": ("--oom-score-adj", -1000, 1000),
    "port": ("--port", 1, 65535),
}
_NOT_NEGATIVE = {
    "eventBurst": "--event-burst",
    "eventRecordQPS": "--event-qps",
    "kubeAPIBurst": "--kube-api-burst",
    "kubeAPIQPS": "--kube-api-qps",
    "maxOpenFiles": "--max-open-files",
    "maxPods": "--max-pods",
    "podsPerCore": "--pods-per-core",
    "registryBurst": "--registry-burst",
    "registryPullQPS": "--registry-qps",
}
_TOPOLOGY_POLICIES = ("none", "best-effort", "restricted", "single-numa-node")
_TOPOLOGY_SCOPES = ("container", "pod")
_HAIRPIN = ("none", "hairpin-veth", "promiscuous-bridge")
_ENFORCED = (
    "pods", "system-reserved", "kube-reserved", "system-reserved-compressible", "kube-reserved-compressible", "none",
)  # fmt: skip
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LABEL_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")


def check(document: Document, problems: Problems) -> None:
    """Add everything that is wrong with a document that has its defaults."""
    asked = document.get("featureGates") or {}
    for what in refusals(asked):
        problems.add("failed to set feature gates from initial flags-based config", what)

    def wrong(text: str) -> None:
        problems.add("invalid configuration", text)

    for field, (flag, least, most) in _RANGES.items():
        if not least <= document[field] <= most:
            wrong(f"{field} ({flag}) {document[field]} must be between {least} and {most}, inclusive")
    for field, flag in _NOT_NEGATIVE.items():
        if document[field] < 0:
            wrong(f"{field} ({flag}) {document[field]} must not be a negative number")
    resolved = gates.resolve(asked)
    _check_node(document, resolved, wrong)
    _check_images(document, wrong)
    _check_shutdown(document, resolved, wrong)
    _check_enforcement(document, wrong)
    _check_logs(document, wrong)
    check_eviction(document, wrong)
    _check_ours(document, wrong)
    for taint in document.get("registerWithTaints") or ():
        if not valid_taint(taint):
            problems.add("invalid taint", _taint(taint))
        if taint.get("timeAdded") is not None:
            wrong("taint.TimeAdded is not nil")


def valid_taint(taint: Mapping[str, Any]) -> bool:
    """Whether a taint has a key, a value and an effect that a Node may carry."""
    key, value = taint.get("key"), taint.get("value") or ""
    effect = taint.get("effect") or ""
    return bool(
        isinstance(key, str)
        and _LABEL_KEY.match(key)
        and isinstance(value, str)
        and len(value) < 64
        and _LABEL_VALUE.match(value)
        and effect in (*_EFFECTS, "")
    )


def _taint(taint: Mapping[str, Any]) -> str:
    setting = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key', '')}{setting}:{taint.get('effect', '')}"


def _seconds(document: Document, field: str) -> float:
    return parse_duration(document.get(field) or "0s")


def _check_node(document: Document, enabled: Mapping[str, bool], wrong: Any) -> None:
    if document["nodeLeaseDurationSeconds"] <= 0:
        wrong("nodeLeaseDurationSeconds must be greater than 0")
    if document.get("systemCgroups") and not document.get("cgroupRoot"):
        wrong("systemCgroups (--system-cgroups) was specified and cgroupRoot (--cgroup-root) was not specified")
    if not 0 <= document["healthzPort"] <= 65535:
        wrong(f"healthzPort (--healthz-port) {document['healthzPort']} must be between 1 and 65535, inclusive")
    if not 0 <= document.get("readOnlyPort", 0) <= 65535:
        wrong(f"readOnlyPort (--read-only-port) {document['readOnlyPort']} must be between 0 and 65535, inclusive")
    period = document["cpuCFSQuotaPeriod"]
    if not enabled["CustomCPUCFSQuotaPeriod"] and period != "100ms":
        wrong(f"cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {{{period}}} requires feature gate CustomCPUCFSQuotaPeriod")
    elif not 0.001 <= _seconds(document, "cpuCFSQuotaPeriod") <= 1:
        wrong(f"cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {{{period}}} must be between 1ms and 1sec, inclusive")
    if document["nodeStatusMaxImages"] < -1:
        wrong(f"nodeStatusMaxImages (--node-status-max-images) {document['nodeStatusMaxImages']} must be -1 or greater")
    if document.get("serverTLSBootstrap") and not enabled["RotateKubeletServerCertificate"]:
        wrong("serverTLSBootstrap true requires feature gate RotateKubeletServerCertificate")
    if document.get("runOnce"):
        wrong("runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set")
    for field, flag, choices in (
        ("topologyManagerPolicy", "--topology-manager-policy", _TOPOLOGY_POLICIES),
        ("topologyManagerScope", "--topology-manager-scope", _TOPOLOGY_SCOPES),
    ):
        if document[field] not in choices:
            listed = (
                " or ".join(f'"{choice}"' for choice in choices).replace(" or ", ", or ")
                if len(choices) == 2
                else "[" + " ".join(f'"{choice}"' for choice in choices) + "]"
            )
            wrong(f'{field} ({flag}) "{document[field]}" must be one of: {listed}')
    if document["hairpinMode"] not in _HAIRPIN:
        wrong(
            f'option "{document["hairpinMode"]}" specified for hairpinMode (--hairpin-mode). '
            'Valid options are "none", "hairpin-veth" or "promiscuous-bridge"'
        )
    swap = document.get("memorySwap.swapBehavior", "")
    if enabled["NodeSwap"] and swap not in ("", "NoSwap", "LimitedSwap"):
        wrong(f'memorySwap.swapBehavior "{swap}" must be one of: "", "LimitedSwap" or "NoSwap"')
    longest = document.get("crashLoopBackOff.maxContainerRestartPeriod")
    if enabled["KubeletCrashLoopBackOffMax"]:
        if longest is None:
            wrong(
                "FeatureGate KubeletCrashLoopBackOffMax is enabled, "
                "CrashLoopBackOff.MaxContainerRestartPeriod must be set"
            )
        elif not 1 <= parse_duration(longest) <= 300:
            wrong(
                f"CrashLoopBackOff.MaxContainerRestartPeriod (got: {parse_duration(longest):g} seconds) "
                "must be set between 1s and 300s"
            )
    elif longest is not None:
        wrong(
            "FeatureGate KubeletCrashLoopBackOffMax not enabled, "
            "CrashLoopBackOff.MaxContainerRestartPeriod must not be set"
        )
    factor = document["memoryThrottlingFactor"]
    if not 0 < factor <= 1:
        wrong(f"memoryThrottlingFactor {factor} must be greater than 0 and less than or equal to 1.0")
    if not document.get("containerRuntimeEndpoint"):
        wrong("the containerRuntimeEndpoint was not specified or empty")
    if document.get("enableSystemLogQuery") and not enabled["NodeLogQuery"]:
        wrong("NodeLogQuery feature gate is required for enableSystemLogQuery")
    if document.get("enableSystemLogQuery") and not document.get("enableSystemLogHandler"):
        wrong("enableSystemLogHandler is required for enableSystemLogQuery")


def _check_images(document: Document, wrong: Any) -> None:
    high, low = document["imageGCHighThresholdPercent"], document["imageGCLowThresholdPercent"]
    if low >= high:
        wrong(
            f"imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be less than "
            f"imageGCHighThresholdPercent (--image-gc-high-threshold) {high}"
        )
    least, most = _seconds(document, "imageMinimumGCAge"), _seconds(document, "imageMaximumGCAge")
    for field, age in (("imageMinimumGCAge", least), ("imageMaximumGCAge", most)):
        if age < 0:
            wrong(f"{field} {document[field]} must not be negative")
    if 0 < most <= least:
        wrong(
            f"imageMaximumGCAge {document['imageMaximumGCAge']} must be greater than "
            f"imageMinimumGCAge {document['imageMinimumGCAge']}"
        )
    pulls = document.get("maxParallelImagePulls")
    if pulls is not None and pulls < 1:
        wrong(f"maxParallelImagePulls {pulls} must be a positive number")
    if pulls is not None and pulls > 1 and document["serializeImagePulls"]:
        wrong(
            "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) "
            "is set to false"
        )


def _check_shutdown(document: Document, enabled: Mapping[str, bool], wrong: Any) -> None:
    whole, critical = document["shutdownGracePeriod"], document["shutdownGracePeriodCriticalPods"]
    if enabled["GracefulNodeShutdown"]:
        if parse_duration(critical) > parse_duration(whole):
            wrong(f"shutdownGracePeriodCriticalPods {{{critical}}} must be <= shutdownGracePeriod {{{whole}}}")
        for field, period in (("shutdownGracePeriod", whole), ("shutdownGracePeriodCriticalPods", critical)):
            if parse_duration(period) < 0 or 0 < parse_duration(period) < 1:
                wrong(f"{field} {{{period}}} must be either zero or otherwise >= 1 sec")
    elif parse_duration(whole) > 0 or parse_duration(critical) > 0:
        wrong(
            "specifying shutdownGracePeriod or shutdownGracePeriodCriticalPods requires feature gate "
            "GracefulNodeShutdown"
        )
    if document.get("shutdownGracePeriodByPodPriority"):
        if not enabled["GracefulNodeShutdownBasedOnPodPriority"]:
            wrong(
                "Specifying shutdownGracePeriodByPodPriority requires feature gate "
                "GracefulNodeShutdownBasedOnPodPriority"
            )
        elif parse_duration(whole) > 0 or parse_duration(critical) > 0:
            wrong("Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time")


def _check_enforcement(document: Document, wrong: Any) -> None:
    enforced, flag = document.get("enforceNodeAllocatable") or [], "enforceNodeAllocatable (--enforce-node-allocatable)"
    for reserved in ("system-reserved", "kube-reserved"):
        if reserved in enforced and f"{reserved}-compressible" in enforced:
            wrong(f'both "{reserved}-compressible" and "{reserved}" cannot be specified together in {flag}')
    seen: set[str] = set()
    for each in enforced:
        if each in seen:
            wrong(f'duplicated enforcements "{each}" in {flag}')
            continue
        seen.add(each)
        if each not in _ENFORCED:
            *most, last = (f'"{choice}"' for choice in _ENFORCED)
            wrong(f'option "{each}" specified for {flag}. Valid options are {", ".join(most)} or {last}')
            continue
        if each == "none":
            if len(enforced) > 1:
                wrong(f'{flag} may not contain additional enforcements when "none" is specified')
            continue
        owner = each.removesuffix("-compressible")
        field = {"system-reserved": "systemReservedCgroup", "kube-reserved": "kubeReservedCgroup"}.get(owner)
        if field is not None and not document.get(field):
            wrong(
                f'{field} (--{owner}-cgroup) must be specified when "{owner}" or "{owner}-compressible" '
                f"included in {flag}"
            )
        if not document["cgroupsPerQOS"]:
            wrong(f'cgroupsPerQOS (--cgroups-per-qos) must be set to true when "{each}" contained in {flag}')
    if document.get("reservedSystemCPUs") and (
        document.get("systemReservedCgroup") or document.get("kubeReservedCgroup")
    ):
        wrong(
            "can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup (--system-reserved-cgroup) "
            "or kubeReservedCgroup (--kube-reserved-cgroup)"
        )


def _check_logs(document: Document, wrong: Any) -> None:
    if document["containerLogMaxWorkers"] < 1:
        wrong("containerLogMaxWorkers must be greater than or equal to 1")
    if _seconds(document, "containerLogMonitorInterval") < 3:
        wrong("containerLogMonitorInterval must be a positive time duration greater than or equal to 3s")
    if document["containerLogMaxFiles"] <= 1:
        wrong("containerLogMaxFiles must be greater than 1")
    if not quantity.is_quantity(document["containerLogMaxSize"]):
        wrong(f'failed to parse container log max size "{document["containerLogMaxSize"]}"')
    path = document["podLogsDir"]
    if not path.startswith("/"):
        wrong(f'pod logs path "{path}" must be absolute path')
    if "//" in path or (path != "/" and path.endswith("/")) or any(part in (".", "..") for part in path.split("/")):
        wrong(f'pod logs path "{path}" must be normalized')
    if not path.isascii():
        wrong(f'pod logs path "{path}" mut contains ASCII characters only')


def _check_ours(document: Document, wrong: Any) -> None:
    """What this kubelet, unlike upstream's, cannot do; and what upstream finds only while it runs."""
    if document["authorization.mode"] not in ("Webhook", "AlwaysAllow"):
        wrong(f'unknown authorization mode "{document["authorization.mode"]}"')
    if bool(document.get("tlsCertFile")) != bool(document.get("tlsPrivateKeyFile")):
        wrong("tlsCertFile and tlsPrivateKeyFile must be set together")
    choice = TLSChoice(document.get("tlsMinVersion", ""), tuple(document.get("tlsCipherSuites") or ()))
    for _, problem in choice.problems():
        wrong(problem)
    if not document["containerRuntimeEndpoint"].startswith(("unix://", "/")):
        wrong(f'containerRuntimeEndpoint "{document["containerRuntimeEndpoint"]}" must be a unix socket')
    for server in document.get("clusterDNS") or ():
        try:
            ipaddress.ip_address(server)
        except ValueError:
            wrong(f'Invalid DNS server IP "{server}"')
