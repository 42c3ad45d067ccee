"""--admission-control-config-file: an AdmissionConfiguration, and the configurations of plug-ins in it or beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from msgspec import Struct, field

from apimachinery.kit.config import Problems
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, duplicate, invalid
from controlplane.apiserver.admission.event_rate_limit import DEFAULT_CACHE, Limit
from controlplane.apiserver.admission.pod_security.plugin import Configuration as PodSecurityConfiguration
from controlplane.apiserver.admission.pod_security.policy import LevelVersion, Policy, parse_level, parse_version
from controlplane.apiserver.admission.resource_quota.charge import LimitedResource

Object = dict[str, Any]

FLAG = "--admission-control-config-file"
_VERSIONS = {
    "AdmissionConfiguration": ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"),
    "PodSecurity": tuple(f"pod-security.admission.config.k8s.io/{each}" for each in ("v1", "v1beta1", "v1alpha1")),
    "ResourceQuota": (
        "apiserver.config.k8s.io/v1",
        *(f"resourcequota.admission.k8s.io/{v}" for v in ("v1beta1", "v1")),
    ),
    "EventRateLimit": ("eventratelimit.admission.k8s.io/v1alpha1",),
    "PodTolerationRestriction": ("podtolerationrestriction.admission.k8s.io/v1alpha1",),
}
_LIMIT_KINDS = ("Server", "Namespace", "User", "SourceAndObject")


class AdmissionConfiguration(Struct, frozen=True):
    """What the file says, by plug-in; without a file, what upstream does without one."""

    pod_security: PodSecurityConfiguration = field(default_factory=PodSecurityConfiguration)
    limited: tuple[LimitedResource, ...] = ()
    event_limits: tuple[Limit, ...] = ()
    default_tolerations: tuple[Object, ...] = ()
    allowed_tolerations: tuple[Object, ...] = ()


def load(file: File, problems: Problems) -> AdmissionConfiguration:
    """The file's content, checked. Problems are told, not raised."""
    found = _plugins(file, problems)
    default, allowed = _tolerations(found.get("PodTolerationRestriction"), problems)
    return AdmissionConfiguration(
        _pod_security(found.get("PodSecurity"), problems),
        _limited_resources(found.get("ResourceQuota"), problems),
        _event_limits(found.get("EventRateLimit"), problems),
        default,
        allowed,
    )


def _plugins(file: File, problems: Problems) -> dict[str, Object]:
    document = _document(file, problems)
    if document is None or not _is(document, "AdmissionConfiguration", "AdmissionConfiguration", problems):
        return {}
    found: dict[str, Object] = {}
    for plugin in document.get("plugins") or ():
        name, inner = plugin.get("name") or "", plugin.get("configuration")
        if inner is None and plugin.get("path"):
            inner = _document(file.parent / plugin["path"], problems)
        if isinstance(inner, dict):
            found[name] = inner
    return found


def _pod_security(document: Mapping[str, Any] | None, problems: Problems) -> PodSecurityConfiguration:
    """PodSecurityConfiguration."""
    if not document or not _is(document, "PodSecurity", "PodSecurityConfiguration", problems):
        return PodSecurityConfiguration()
    defaults, exempt = document.get("defaults") or {}, document.get("exemptions") or {}
    found: list[Problem] = []
    modes: dict[str, LevelVersion] = {}
    for mode in ("enforce", "warn", "audit"):
        level, version = defaults.get(mode) or "privileged", defaults.get(f"{mode}-version") or "latest"
        try:
            parse_level(level)
        except ValueError as error:
            found.append(invalid(Path("defaults").child(mode), level, str(error)))
        try:
            modes[mode] = LevelVersion(level, parse_version(version))
        except ValueError as error:
            found.append(invalid(Path("defaults").child(f"{mode}-version"), version, str(error)))
    for section, check in (
        ("namespaces", names.dns1123_label), ("runtimeClasses", names.dns1123_subdomain), ("usernames", _not_empty)
    ):  # fmt: skip
        seen: set[str] = set()
        for position, word in enumerate(exempt.get(section) or ()):
            where = Path("exemptions").child(section).index(position)
            if texts := check(word):
                found.append(invalid(where, word, ", ".join(texts)))
            elif word in seen:
                found.append(duplicate(where, word))
            seen.add(word)
    for problem in found:
        problems.add(FLAG, f"PodSecurity invalid: {problem}")
    if found:
        return PodSecurityConfiguration()
    usernames, namespaces, classes = (
        frozenset(exempt.get(section) or ()) for section in ("usernames", "namespaces", "runtimeClasses")
    )
    return PodSecurityConfiguration(Policy(**modes), usernames, namespaces, classes)


def _limited_resources(document: Mapping[str, Any] | None, problems: Problems) -> tuple[LimitedResource, ...]:
    """ResourceQuotaConfiguration: what may not be used without a quota."""
    kinds = ("ResourceQuotaConfiguration", "Configuration")
    if not document or not _is(document, "ResourceQuota", kinds, problems):
        return ()
    found = []
    for position, each in enumerate(document.get("limitedResources") or ()):
        if not each.get("resource"):
            problems.add(FLAG, f"limitedResources[{position}].resource: Required value")
            continue
        contains, scopes = tuple(each.get("matchContains") or ()), tuple(each.get("matchScopes") or ())
        found.append(LimitedResource(each.get("apiGroup") or "", each["resource"], contains, scopes))
    return tuple(found)


def _event_limits(document: Mapping[str, Any] | None, problems: Problems) -> tuple[Limit, ...]:
    """EventRateLimit's Configuration."""
    if not document or not _is(document, "EventRateLimit", "Configuration", problems):
        return ()
    found = []
    for position, each in enumerate(document.get("limits") or ()):
        where = Path("limits").index(position)
        kind, qps, burst, cache = (each.get(key) for key in ("type", "qps", "burst", "cacheSize"))
        if kind not in _LIMIT_KINDS:
            problems.add(FLAG, str(invalid(where.child("type"), kind, f"must be one of {', '.join(_LIMIT_KINDS)}")))
        for key, value in (("qps", qps), ("burst", burst)):
            if not isinstance(value, int) or value <= 0:
                problems.add(FLAG, str(invalid(where.child(key), value, "must be positive")))
        found.append(Limit(str(kind), float(qps or 1), int(burst or 1), int(cache or DEFAULT_CACHE)))
    return tuple(found)


def _tolerations(
    document: Mapping[str, Any] | None, problems: Problems
) -> tuple[tuple[Object, ...], tuple[Object, ...]]:
    """PodTolerationRestriction's cluster-wide defaults and what is allowed."""
    if not document or not _is(document, "PodTolerationRestriction", "Configuration", problems):
        return (), ()
    return tuple(document.get("default") or ()), tuple(document.get("whitelist") or ())


def _not_empty(word: str) -> list[str]:
    return [] if word else ["username must not be empty"]


def _document(file: File, problems: Problems) -> Object | None:
    import yaml  # 30 ms that most servers can do without

    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        problems.add(FLAG, f'unable to read admission control configuration from "{file}" [{error}]')
        return None
    if not isinstance(found, dict):
        problems.add(FLAG, f'"{file}" is not an object')
        return None
    return found


def _is(document: Mapping[str, Any], name: str, kinds: str | tuple[str, ...], problems: Problems) -> bool:
    wanted = (kinds,) if isinstance(kinds, str) else kinds
    if document.get("kind") in wanted and document.get("apiVersion") in _VERSIONS[name]:
        return True
    problems.add(
        FLAG, f'no kind "{document.get("kind")}" is registered for version "{document.get("apiVersion")}" ({name})'
    )
    return False
