"""The checks of the baseline level, by name: what is known to escalate privileges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.apiserver.admission.pod_security.checks import (
    Check,
    CheckPod,
    Object,
    Refusal,
    containers,
    counted,
    named,
    quoted,
    security,
    setters,
)

_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
SAFE_PROFILES = ("RuntimeDefault", "Localhost")
_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"}
    | {"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    }
)
_SYSCTLS_27 = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_29 = _SYSCTLS_27 | {
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
_SYSCTLS_32 = _SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


def _apparmor(meta: Object, spec: Object) -> Refusal | None:
    def bad(holder: Object) -> str | None:
        profile = security(holder).get("appArmorProfile")
        if profile is None or profile.get("type") in SAFE_PROFILES:
            return None
        return profile.get("type") or ""

    pod = bad(spec)
    found = [(each["name"], value) for each in containers(spec) if (value := bad(each)) is not None]
    values = sorted({*([pod] if pod is not None else []), *(value for _, value in found)})
    who = [setters(pod is not None, [name for name, _ in found])] if pod is not None or found else []
    annotations = sorted(
        f'{key}="{value}"'
        for key, value in (meta.get("annotations") or {}).items()
        if key.startswith(_APPARMOR_PREFIX) and value not in ("", "runtime/default")
        if not value.startswith("localhost/")
    )
    if annotations:
        values += annotations
        who.append(counted(len(annotations), "annotation", "annotations"))
    if not who:
        return None
    return Refusal(
        counted(len(values), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}",
    )


def _capabilities(meta: Object, spec: Object) -> Refusal | None:
    found: list[str] = []
    values: set[str] = set()
    for each in containers(spec):
        added = set((security(each).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES
        if added:
            found.append(each["name"])
            values |= added
    if not found:
        return None
    return Refusal(
        "non-default capabilities",
        f"{named(found)} must not include {quoted(sorted(values))} in securityContext.capabilities.add",
    )


def _host_namespaces(meta: Object, spec: Object) -> Refusal | None:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Refusal("host namespaces", ", ".join(found)) if found else None


def _host_paths(meta: Object, spec: Object) -> Refusal | None:
    found = [each["name"] for each in spec.get("volumes") or () if each.get("hostPath") is not None]
    if not found:
        return None
    return Refusal("hostPath volumes", f"{counted(len(found), 'volume', 'volumes')} {quoted(found)}")


def _host_ports(meta: Object, spec: Object) -> Refusal | None:
    found: list[str] = []
    ports: set[str] = set()
    for each in containers(spec):
        here = {str(port["hostPort"]) for port in each.get("ports") or () if port.get("hostPort")}
        if here:
            found.append(each["name"])
            ports |= here
    if not found:
        return None
    return Refusal(
        "hostPort",
        f"{named(found)} {counted(len(found), 'uses', 'use')} {counted(len(ports), 'hostPort', 'hostPorts')} "
        f"{', '.join(sorted(ports))}",
    )


def _privileged(meta: Object, spec: Object) -> Refusal | None:
    found = [each["name"] for each in containers(spec) if security(each).get("privileged")]
    return Refusal("privileged", f"{named(found)} must not set securityContext.privileged=true") if found else None


def _proc_mount(meta: Object, spec: Object) -> Refusal | None:
    found = [
        (each["name"], mount)
        for each in containers(spec)
        if (mount := security(each).get("procMount")) is not None and mount != "Default"
    ]
    if not found:
        return None
    values = sorted({mount for _, mount in found})
    return Refusal(
        "procMount", f"{named([name for name, _ in found])} must not set securityContext.procMount to {quoted(values)}"
    )


def _selinux(types: frozenset[str]) -> CheckPod:
    def check(meta: Object, spec: Object) -> Refusal | None:
        bad_types: set[str] = set()
        others: set[str] = set()

        def bad(holder: Object) -> bool:
            options: Mapping[str, Any] = security(holder).get("seLinuxOptions") or {}
            kind = options.get("type") or ""
            if kind not in types:
                bad_types.add(kind)
            here = {field for field in ("user", "role") if options.get(field)}
            others.update(here)
            return kind not in types or bool(here)

        pod = bad(spec)
        found = [each["name"] for each in containers(spec) if bad(each)]
        if not pod and not found:
            return None
        data = [f"{counted(len(bad_types), 'type', 'types')} {quoted(sorted(bad_types))}"] if bad_types else []
        data += [f"{field} may not be set" for field in ("user", "role") if field in others]
        who = setters(pod, found)
        return Refusal("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}")

    return check


def _seccomp_annotations(meta: Object, spec: Object) -> Refusal | None:
    annotations = meta.get("annotations") or {}
    found = set()
    for key in (_SECCOMP_POD, *(_SECCOMP_CONTAINER + each["name"] for each in containers(spec))):
        value = annotations.get(key)
        if value is None or value in ("runtime/default", "docker/default") or value.startswith("localhost/"):
            continue
        found.add(f'{key}="{value}"')
    if not found:
        return None
    word = counted(len(found), "annotation", "annotations")
    return Refusal("seccompProfile", f"forbidden {word} {', '.join(sorted(found))}")


def seccomp_type(holder: Object) -> str | None:
    """The type of a pod's or container's own profile; None when it sets none."""
    profile = security(holder).get("seccompProfile")
    return None if profile is None else str(profile.get("type") or "")


def seccomp(meta: Object, spec: Object) -> Refusal | None:
    """No profile but the safe ones is set."""
    pod = seccomp_type(spec)
    found = [(each["name"], value) for each in containers(spec) if (value := seccomp_type(each)) is not None]
    bad = [(name, value) for name, value in found if value not in SAFE_PROFILES]
    pod_bad = pod is not None and pod not in SAFE_PROFILES
    if not bad and not pod_bad:
        return None
    values = sorted({*([pod] if pod_bad and pod is not None else []), *(value for _, value in bad)})
    who = setters(pod_bad, [name for name, _ in bad])
    return Refusal("seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {quoted(values)}")


def _sysctls(allowed: frozenset[str]) -> CheckPod:
    def check(meta: Object, spec: Object) -> Refusal | None:
        found = [each["name"] for each in security(spec).get("sysctls") or () if each["name"] not in allowed]
        return Refusal("forbidden sysctls", ", ".join(found)) if found else None

    return check


def _host_process(meta: Object, spec: Object) -> Refusal | None:
    def bad(holder: Object) -> bool:
        return bool((security(holder).get("windowsOptions") or {}).get("hostProcess"))

    pod, found = bad(spec), [each["name"] for each in containers(spec) if bad(each)]
    if not pod and not found:
        return None
    return Refusal("hostProcess", f"{setters(pod, found)} must not set securityContext.windowsOptions.hostProcess=true")


CHECKS = (
    Check("appArmorProfile", ((0, _apparmor),)),
    Check("capabilities_baseline", ((0, _capabilities),)),
    Check("hostNamespaces", ((0, _host_namespaces),)),
    Check("hostPathVolumes", ((0, _host_paths),)),
    Check("hostPorts", ((0, _host_ports),)),
    Check("privileged", ((0, _privileged),)),
    Check("procMount", ((0, _proc_mount),)),
    Check("seLinuxOptions", ((0, _selinux(_SELINUX_TYPES)), (31, _selinux(_SELINUX_TYPES | {"container_engine_t"})))),
    Check("seccompProfile_baseline", ((0, _seccomp_annotations), (19, seccomp))),
    Check(
        "sysctls",
        (
            (0, _sysctls(_SYSCTLS)),
            (27, _sysctls(_SYSCTLS_27)),
            (29, _sysctls(_SYSCTLS_29)),
            (32, _sysctls(_SYSCTLS_32)),
        ),
    ),
    Check("windowsHostProcess", ((0, _host_process),)),
)
"""In the order of their names, which is the order of the messages."""
