"""What /configz of the controller manager shows: the configuration in force, with the names of upstream's internal
types. Fields that nothing follows here are left out."""

from __future__ import annotations

from typing import Any

from apimachinery.meta.times import format_duration
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.config_signing import SIGNERS
from controlplane.controllers.config_workers import WORKERS

GROUP = "kubecontrollermanager.config.k8s.io"
_HPA = "HorizontalPodAutoscaler"
_SIGNERS = {
    "kubelet-serving": "KubeletServing",
    "kubelet-client": "KubeletClient",
    "kube-apiserver-client": "KubeAPIServerClient",
    "legacy-unknown": "LegacyUnknown",
}


def shown(config: ControllersConfig) -> dict[str, Any]:
    """By group, the KubeControllerManagerConfiguration."""
    found = _sections(config)
    for name, each in WORKERS.items():
        found.setdefault(each.section, {})[f"{each.field}Syncs"] = config.workers[name]
    return {GROUP: found}


def _sections(config: ControllersConfig) -> dict[str, dict[str, Any]]:
    return {
        "Generic": {
            "Address": config.bind_address,
            **config.shown("kube-controller-manager"),
            "Controllers": list(config.controllers),
        },
        "KubeCloudShared": {
            "NodeMonitorPeriod": format_duration(config.node_monitor_period),
            "ClusterCIDR": _joined(config.cluster_cidr, config.second_cluster_cidr),
            "AllocateNodeCIDRs": config.cluster_cidr is not None,
            "UseServiceAccountCredentials": config.use_service_account_credentials,
        },
        "AttachDetachController": {"DisableForceDetachOnTimeout": config.disable_force_detach},
        "CSRSigningController": _signing(config),
        "EndpointSliceController": {"MaxEndpointsPerSlice": config.max_endpoints_per_slice},
        "GarbageCollectorController": {
            "EnableGarbageCollector": config.enabled("garbage-collector-controller", by_default=True)
        },
        "HPAController": _autoscaling(config),
        "NodeIPAMController": _node_ipam(config),
        "NodeLifecycleController": {
            "NodeEvictionRate": config.node_eviction_rate,
            "SecondaryNodeEvictionRate": config.secondary_node_eviction_rate,
            "NodeStartupGracePeriod": format_duration(config.node_startup_grace_period),
            "NodeMonitorGracePeriod": format_duration(config.node_monitor_grace_period),
            "LargeClusterSizeThreshold": config.large_cluster_size_threshold,
            "UnhealthyZoneThreshold": config.unhealthy_zone_threshold,
        },
        "PersistentVolumeBinderController": {
            "VolumeConfiguration": {"EnableDynamicProvisioning": config.dynamic_provisioning}
        },
        "PodGCController": {"TerminatedPodGCThreshold": config.terminated_pod_threshold},
        "SAController": {
            "ServiceAccountKeyFile": _text(config.token_key),
            "RootCAFile": _text(config.root_ca_file),
        },
        "LegacySATokenCleaner": {"CleanUpPeriod": format_duration(config.legacy_token_period)},
    }


def _autoscaling(config: ControllersConfig) -> dict[str, Any]:
    caution = config.hpa_caution
    return {
        f"{_HPA}SyncPeriod": format_duration(config.hpa_sync_period),
        f"{_HPA}DownscaleStabilizationWindow": format_duration(config.hpa_down_window),
        f"{_HPA}Tolerance": caution.tolerance,
        f"{_HPA}CPUInitializationPeriod": format_duration(caution.cpu_initialization),
        f"{_HPA}InitialReadinessDelay": format_duration(caution.readiness_delay),
    }


def _signing(config: ControllersConfig) -> dict[str, Any]:
    """One authority for all is shown as that."""
    pairs = set(config.signing.values())
    for_all = pairs.pop() if len(config.signing) == len(SIGNERS) and len(pairs) == 1 else None
    cert, key = for_all or ("", "")
    own = {} if for_all else config.signing
    each = {
        f"{shown_as}SignerConfiguration": dict(
            zip(("CertFile", "KeyFile"), map(str, own.get(SIGNERS[called], ("", ""))), strict=True)
        )
        for called, shown_as in _SIGNERS.items()
    }
    files = {"ClusterSigningCertFile": str(cert), "ClusterSigningKeyFile": str(key)}
    return {**files, **each, "ClusterSigningDuration": format_duration(config.signing_duration)}


def _node_ipam(config: ControllersConfig) -> dict[str, Any]:
    """Sizes of families of which no subnets are handed out are 0."""
    pairs = ((config.cluster_cidr, config.node_mask), (config.second_cluster_cidr, config.second_node_mask))
    masks = {network.version: mask for network, mask in pairs if network is not None}
    return {
        "ServiceCIDR": _text(config.service_cidr),
        "SecondaryServiceCIDR": _text(config.second_service_cidr),
        "NodeCIDRMaskSizeIPv4": masks.get(4, 0),
        "NodeCIDRMaskSizeIPv6": masks.get(6, 0),
    }


def _joined(*several: object) -> str:
    return ",".join(str(each) for each in several if each is not None)


def _text(value: object | None) -> str:
    return "" if value is None else str(value)
