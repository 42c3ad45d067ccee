"""Which admission plug-ins there are, and which of them flags ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery.kit.config import Problems
from controlplane.apiserver.flags import Flags

if TYPE_CHECKING:
    from controlplane.apiserver.admission.configuration import AdmissionConfiguration

ADMISSION_PLUGINS = (
    "AlwaysAdmit",
    "NamespaceAutoProvision",
    "NamespaceLifecycle",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "AlwaysPullImages",
    "ImagePolicyWebhook",
    "PodSecurity",
    "PodNodeSelector",
    "Priority",
    "DefaultTolerationSeconds",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DenyServiceExternalIPs",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
    "AlwaysDeny",
)
"""The plug-ins there are, in upstream's order (AllOrderedPlugins)."""

_CLOSED = frozenset({"ClusterTrustBundleAttest", "MutatingAdmissionPolicy"})
"""Plug-ins of alpha features: known by name, doing nothing."""

_OFF_BY_DEFAULT = frozenset(
    {"AlwaysAdmit", "NamespaceExists", "LimitPodHardAntiAffinityTopology", "NodeRestriction", "AlwaysPullImages"}
    | {"PodTolerationRestriction", "EventRateLimit", "ExtendedResourceToleration", "DenyServiceExternalIPs"}
    | {"OwnerReferencesPermissionEnforcement", "AlwaysDeny"}
    | {"NamespaceAutoProvision", "ImagePolicyWebhook", "PodNodeSelector"}
)
DEFAULT_PLUGINS = tuple(name for name in ADMISSION_PLUGINS if name not in _OFF_BY_DEFAULT)


def chosen_plugins(flags: Flags) -> tuple[str, ...]:
    """The admission plug-ins, in upstream's order: the default ones, less those disabled, and those enabled."""
    problems = flags.problems
    enabled = set(flags.words("enable-admission-plugins"))
    disabled = set(flags.words("disable-admission-plugins"))
    only = set(flags.words("admission-control"))
    if only and (enabled or disabled):
        told = "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive"
        problems.add("--admission-control", told)
    for flag, names in (
        ("--admission-control", only),
        ("--enable-admission-plugins", enabled),
        ("--disable-admission-plugins", disabled),
    ):
        for name in sorted(names - set(ADMISSION_PLUGINS) - _CLOSED):
            problems.add(flag, f'plugin "{name}" is unknown')
    if both := sorted(enabled & disabled):
        problems.add(
            "--enable-admission-plugins",
            f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped",
        )
    chosen = only or (set(DEFAULT_PLUGINS) - disabled) | enabled
    return tuple(name for name in ADMISSION_PLUGINS if name in chosen)


def configuration(file: Path | None, plugins: Sequence[str], problems: Problems) -> AdmissionConfiguration | None:
    """What plug-ins are configured with; None when nothing is said and none needs it."""
    if (file is None and "ImagePolicyWebhook" not in plugins) or (file is not None and not file.is_file()):
        return None
    from controlplane.apiserver.admission.configuration import load  # the plug-ins, which flags can do without

    return load(file, problems, plugins)
