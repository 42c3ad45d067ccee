"""Security contexts of pods and containers."""

import re

from apimachinery.api.validation.checks import Object, one_of, sentences
from apimachinery.api.validation.volume_sources import descending_path
from apimachinery.api.validation.windows import windows_options
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, not_supported, required, too_long

_MAX_ID = 2**31 - 1
_MAX_PROFILE = 4095  # bytes of a profile's path: PATH_MAX - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"


def pod_security(context: Object, spec: Object, path: Path) -> list[Problem]:
    """A pod's securityContext."""
    problems = _ids(context, ("fsGroup", "runAsUser", "runAsGroup"), path)
    for position, group in enumerate(context.get("supplementalGroups") or ()):
        problems += _identity(group, path.child("supplementalGroups").index(position))
    seen: set[str] = set()
    for position, sysctl in enumerate(context.get("sysctls") or ()):
        problems += _sysctl(sysctl.get("name", ""), seen, spec, path.child("sysctls").index(position).child("name"))
    if context.get("fsGroupChangePolicy") is not None:
        supported = ("Always", "OnRootMismatch")
        problems += one_of(context["fsGroupChangePolicy"], supported, path.child("fsGroupChangePolicy"))
    if context.get("supplementalGroupsPolicy") is not None:
        problems += one_of(
            context["supplementalGroupsPolicy"], ("Merge", "Strict"), path.child("supplementalGroupsPolicy")
        )
    problems += windows_options(context.get("windowsOptions"), path.child("windowsOptions"))
    return problems + _profiles(context, path)


def container_security(context: Object, path: Path) -> list[Problem]:
    """A container's securityContext."""
    problems = _ids(context, ("runAsUser", "runAsGroup"), path)
    proc_mount = context.get("procMount")
    if proc_mount is not None and proc_mount not in ("Default", "Unmasked"):
        problems.append(not_supported(path.child("procMount"), proc_mount, ("Default", "Unmasked")))
    if context.get("allowPrivilegeEscalation") is False:
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        if context.get("privileged"):
            problems.append(invalid(path, context, text))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            problems.append(invalid(path, context, text))
    problems += windows_options(context.get("windowsOptions"), path.child("windowsOptions"))
    return problems + _profiles(context, path)


def host_namespaces(spec: Object, path: Path) -> list[Problem]:
    """What must not be combined with a user namespace, and sharing one process namespace with the host's."""
    problems: list[Problem] = []
    if spec.get("hostUsers") is False:
        for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(field):
                problems.append(forbidden(path.child(shown), "when `pod.Spec.HostUsers` is false"))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        problems.append(invalid(path.child("securityContext").child("shareProcessNamespace"), True, text))
    return problems


def _ids(context: Object, fields: tuple[str, ...], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for field in fields:
        if context.get(field) is not None:
            problems += _identity(context[field], path.child(field))
    return problems


def _identity(value: int, path: Path) -> list[Problem]:
    return [] if 0 <= value <= _MAX_ID else sentences([names.range_error(0, _MAX_ID)], value, path)


def _sysctl(name: str, seen: set[str], spec: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    if not name:
        return [required(path)]
    if len(name) > 253 or not re.fullmatch(_SYSCTL, name):
        problems.append(invalid(path, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$"))
    elif name in seen:
        problems.append(duplicate(path, name))
    seen.add(name)
    dotted = name.replace("/", ".")
    if spec.get("hostNetwork") and dotted.startswith("net."):
        problems.append(invalid(path, name, "may not be specified when 'hostNetwork' is true"))
    if spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
        problems.append(invalid(path, name, "may not be specified when 'hostIPC' is true"))
    return problems


def _apparmor_name(name: str, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    if name != name.strip():
        problems.append(invalid(path, name, "must not be padded with whitespace"))
    if len(name.encode()) > _MAX_PROFILE:
        problems.append(too_long(path, _MAX_PROFILE))
    return problems


def _profiles(context: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for field, word in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = context.get(field)
        if profile is None:
            continue
        where, kind, local = path.child(field), profile.get("type", ""), profile.get("localhostProfile")
        if not kind:
            problems.append(required(where.child("type"), f"type is required when {field} is set"))
        elif kind not in _PROFILES:
            problems.append(not_supported(where.child("type"), kind, _PROFILES))
        if kind == "Localhost":
            if not local:
                text = f"must be set when {word} type is Localhost"
                problems.append(required(where.child("localhostProfile"), text))
            elif field == "seccompProfile":
                problems += descending_path(local, where.child("localhostProfile"))
            else:
                problems += _apparmor_name(local, where.child("localhostProfile"))
        elif local is not None and kind in _PROFILES:
            text = f"can only be set when {word} type is Localhost"
            problems.append(invalid(where.child("localhostProfile"), local, text))
    return problems
