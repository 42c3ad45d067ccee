"""Security contexts of pods and containers."""

import re

from apimachinery.api.validation.checks import Object, one_of_given, sentences
from apimachinery.api.validation.go_values import go_pointer
from apimachinery.api.validation.volume_sources import descending_path
from apimachinery.api.validation.windows import windows_options
from apimachinery.meta import names
from apimachinery.meta.paths import (
    Path,
    Problem,
    Verbatim,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)

_MAX_ID = 2**31 - 1
_MAX_PROFILE = 4095  # bytes of a profile's path: PATH_MAX - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"


def pod_security(context: Object, spec: Object, path: Path) -> list[Problem]:
    """A pod's securityContext."""
    problems = _ids(context, ("fsGroup", "runAsUser", "runAsGroup"), path)
    for position, group in enumerate(context.get("supplementalGroups") or ()):
        problems += _identity(group, path.child("supplementalGroups").index(position))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        problems.append(invalid(path.child("shareProcessNamespace"), True, text))
    seen: set[str] = set()
    for position, sysctl in enumerate(context.get("sysctls") or ()):
        problems += _sysctl(sysctl.get("name", ""), seen, spec, path.child("sysctls").index(position).child("name"))
    change, where = context.get("fsGroupChangePolicy"), path.child("fsGroupChangePolicy")
    problems += one_of_given(change, ("Always", "OnRootMismatch"), where)
    problems += _profile(context, "seccompProfile", "seccomp", path)
    problems += windows_options(context.get("windowsOptions"), path.child("windowsOptions"))
    problems += _profile(context, "appArmorProfile", "AppArmor", path)
    groups, where = context.get("supplementalGroupsPolicy"), path.child("supplementalGroupsPolicy")
    return problems + one_of_given(groups, ("Merge", "Strict"), where)


def container_security(context: Object, path: Path) -> list[Problem]:
    """A container's securityContext."""
    problems = _ids(context, ("runAsUser", "runAsGroup"), path)
    problems += one_of_given(context.get("procMount"), ("Default", "Unmasked"), path.child("procMount"))
    problems += _profile(context, "seccompProfile", "seccomp", path)
    if context.get("allowPrivilegeEscalation") is False:
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        if context.get("privileged"):
            problems.append(invalid(path, context, text))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            problems.append(invalid(path, context, text))
    problems += windows_options(context.get("windowsOptions"), path.child("windowsOptions"))
    return problems + _profile(context, "appArmorProfile", "AppArmor", path)


def host_namespaces(spec: Object, path: Path) -> list[Problem]:
    """What must not be combined with a user namespace."""
    problems: list[Problem] = []
    if spec.get("hostUsers") is False:
        for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(field):
                problems.append(forbidden(path.child(shown), "when `pod.Spec.HostUsers` is false"))
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


def _go_seccomp(kind: str) -> Verbatim:
    """A seccompProfile with a name, which upstream shows as a whole."""
    return Verbatim(f'core.SeccompProfile{{Type:"{kind}", LocalhostProfile:{go_pointer("string", "")}}}')


def _profile(context: Object, field: str, word: str, path: Path) -> list[Problem]:
    """The profile in that field of a context; `word` is what upstream calls its kind."""
    profile = context.get(field)
    if profile is None:
        return []
    where, kind, local = path.child(field), profile.get("type", ""), profile.get("localhostProfile")
    place, seccomp = where.child("localhostProfile"), field == "seccompProfile"
    problems: list[Problem] = []
    if not kind:
        problems.append(required(where.child("type"), f"type is required when {field} is set"))
    elif kind not in _PROFILES:
        problems.append(not_supported(where.child("type"), kind, _PROFILES))
    if kind == "Localhost":
        # Upstream takes a seccomp profile without a name for one.
        if local is None or not (local or seccomp):
            problems.append(required(place, f"must be set when {word} type is Localhost"))
        else:
            problems += descending_path(local, place) if seccomp else _apparmor_name(local, place)
    elif local is not None and (seccomp or kind in _PROFILES):
        shown = _go_seccomp(kind) if seccomp else local
        problems.append(invalid(place, shown, f"can only be set when {word} type is Localhost"))
    return problems
