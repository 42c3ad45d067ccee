"""The feature gates that change something in this kubelet; it takes all that 1.32 knows."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.meta.feature_gates import open_to_choice

# With their default in 1.32. All others are taken, change nothing, and are logged.
GATES: Mapping[str, bool] = {
    "AllowOverwriteTerminationGracePeriodSeconds": False,
    "CustomCPUCFSQuotaPeriod": False,
    "GracefulNodeShutdown": True,
    "GracefulNodeShutdownBasedOnPodPriority": True,
    "ImageMaximumGCAge": True,
    "ImageVolume": False,
    "InPlacePodVerticalScaling": False,
    "InPlacePodVerticalScalingAllocatedStatus": False,
    "KubeletCrashLoopBackOffMax": False,
    "KubeletFineGrainedAuthz": False,
    "MemoryQoS": False,
    "NodeLogQuery": False,
    "NodeSwap": True,
    "PodLevelResources": False,
    "ProcMountType": False,
    "RotateKubeletServerCertificate": True,
    "SupplementalGroupsPolicy": False,
    "UserNamespacesSupport": False,
}


def resolve(asked: Mapping[str, bool]) -> dict[str, bool]:
    """The gates as they are with these set."""
    return {**GATES, **asked}


def without_effect(asked: Mapping[str, bool]) -> list[str]:
    """Those that are set, and of which nothing here depends."""
    return sorted(gate for gate in asked if open_to_choice(gate) and gate not in GATES)
