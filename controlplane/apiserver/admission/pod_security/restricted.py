"""The checks that the restricted level adds: what hardened pods do without."""

from __future__ import annotations

from controlplane.apiserver.admission.pod_security.baseline import SAFE_PROFILES, seccomp, seccomp_type
from controlplane.apiserver.admission.pod_security.checks import (
    Check,
    CheckPod,
    Object,
    Refusal,
    containers,
    counted,
    is_windows,
    named,
    quoted,
    security,
    setters,
)

_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_RESTRICTED_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd",
    "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
    "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def _escalation(meta: Object, spec: Object) -> Refusal | None:
    found = [each["name"] for each in containers(spec) if security(each).get("allowPrivilegeEscalation") is not False]
    if not found:
        return None
    return Refusal(
        "allowPrivilegeEscalation != false",
        f"{named(found)} must set securityContext.allowPrivilegeEscalation=false",
    )


def _capabilities(meta: Object, spec: Object) -> Refusal | None:
    keeping: list[str] = []
    adding: list[str] = []
    values: set[str] = set()
    for each in containers(spec):
        capabilities = security(each).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keeping.append(each["name"])
        added = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if added:
            adding.append(each["name"])
            values |= added
    details = []
    if keeping:
        details.append(f'{named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(f"{named(adding)} must not include {quoted(sorted(values))} in securityContext.capabilities.add")
    return Refusal("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(meta: Object, spec: Object) -> Refusal | None:
    found: list[str] = []
    kinds: set[str] = set()
    for volume in spec.get("volumes") or ():
        if any(volume.get(kind) is not None for kind in _VOLUMES):
            continue
        found.append(volume["name"])
        kinds.add(next((kind for kind in _RESTRICTED_VOLUMES if volume.get(kind) is not None), "unknown"))
    if not found:
        return None
    return Refusal(
        "restricted volume types",
        f"{counted(len(found), 'volume', 'volumes')} {quoted(found)} {counted(len(found), 'uses', 'use')} "
        f"{counted(len(kinds), 'restricted volume type', 'restricted volume types')} {quoted(sorted(kinds))}",
    )


def _non_root(meta: Object, spec: Object) -> Refusal | None:
    pod = security(spec).get("runAsNonRoot")
    said = [(each["name"], security(each).get("runAsNonRoot")) for each in containers(spec)]
    rooted = [name for name, value in said if value is False]
    if pod is False or rooted:
        who = setters(pod is False, rooted)
        return Refusal("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [name for name, value in said if value is None]
    if pod or not silent:
        return None
    return Refusal("runAsNonRoot != true", f"pod or {named(silent)} must set securityContext.runAsNonRoot=true")


def _user(meta: Object, spec: Object) -> Refusal | None:
    pod = security(spec).get("runAsUser") == 0
    found = [each["name"] for each in containers(spec) if security(each).get("runAsUser") == 0]
    return Refusal("runAsUser=0", f"{setters(pod, found)} must not set runAsUser=0") if pod or found else None


def _seccomp(meta: Object, spec: Object) -> Refusal | None:
    if (refusal := seccomp(meta, spec)) is not None:
        return refusal
    silent = [each["name"] for each in containers(spec) if seccomp_type(each) is None]
    if seccomp_type(spec) is not None or not silent:
        return None
    wanted = " or ".join(f'"{kind}"' for kind in SAFE_PROFILES)
    return Refusal("seccompProfile", f"pod or {named(silent)} must set securityContext.seccompProfile.type to {wanted}")


def _but_windows(check: CheckPod) -> CheckPod:
    return lambda meta, spec: None if is_windows(spec) else check(meta, spec)


CHECKS = (
    Check("allowPrivilegeEscalation", ((8, _escalation), (25, _but_windows(_escalation)))),
    Check("capabilities_restricted", ((22, _capabilities), (25, _but_windows(_capabilities))), "capabilities_baseline"),
    Check("restrictedVolumes", ((0, _volumes),), "hostPathVolumes"),
    Check("runAsNonRoot", ((0, _non_root),)),
    Check("runAsUser", ((23, _user),)),
    Check("seccompProfile_restricted", ((19, _seccomp), (25, _but_windows(_seccomp))), "seccompProfile_baseline"),
)
"""In the order of their names."""
