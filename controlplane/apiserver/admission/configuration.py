"""--admission-control-config-file: an AdmissionConfiguration, and the configurations of plug-ins in it or beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path as File
from typing import Any

from msgspec import Struct, field

from apimachinery.client.config import load_kubeconfig
from apimachinery.kit.config import ConfigError, Problems
from apimachinery.meta import names, times
from apimachinery.meta.paths import Path, Problem, duplicate, invalid
from controlplane.apiserver.admission.event_rate_limit import DEFAULT_CACHE, Limit
from controlplane.apiserver.admission.image_policy import ImagePolicy
from controlplane.apiserver.admission.pod_security.plugin import Configuration as PodSecurityConfiguration
from controlplane.apiserver.admission.pod_security.policy import LevelVersion, Policy, parse_level, parse_version
from controlplane.apiserver.admission.resource_quota.charge import LimitedResource
from controlplane.apiserver.admission.webhooks.credentials import Credentials
from controlplane.apiserver.admission.webhooks.credentials import load as load_credentials

Object = dict[str, Any]

FLAG = "--admission-control-config-file"
WEBHOOKS = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")
_WEBHOOKS_BEFORE = "apiserver.config.k8s.io/v1alpha1"
_VERSIONS = {
    "AdmissionConfiguration": ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"),
    "PodSecurity": tuple(f"pod-security.admission.config.k8s.io/{each}" for each in ("v1", "v1beta1", "v1alpha1")),
    "ResourceQuota": (
        "apiserver.config.k8s.io/v1",
        *(f"resourcequota.admission.k8s.io/{v}" for v in ("v1beta1", "v1")),
    ),
    "EventRateLimit": ("eventratelimit.admission.k8s.io/v1alpha1",),
    "PodTolerationRestriction": ("podtolerationrestriction.admission.k8s.io/v1alpha1",),
    **dict.fromkeys(WEBHOOKS, ("apiserver.config.k8s.io/v1", _WEBHOOKS_BEFORE)),
}
_IMAGE_POLICY_TIMES = (
    ("allowTTL", "allow cache", 1.0, 1.0, 1800.0, 300.0),
    ("denyTTL", "deny cache", 1.0, 1.0, 1800.0, 30.0),
    ("retryBackoff", "backoff", 0.001, 1e-9, 300.0, 0.5),
)
"""Field, what it is, seconds in its unit, the least and the most that it may be, and what it usually is."""
_LIMIT_KINDS = ("Server", "Namespace", "User", "SourceAndObject")


_UNVERSIONED = {"ImagePolicyWebhook": "imagePolicy", "PodNodeSelector": "podNodeSelectorPluginConfig"}
"""Plug-ins whose configuration has no kind, and its only field. It may be the whole of the file."""


class AdmissionConfiguration(Struct, frozen=True):
    """What the file says, by plug-in; without a file, what upstream does without one."""

    pod_security: PodSecurityConfiguration = field(default_factory=PodSecurityConfiguration)
    limited: tuple[LimitedResource, ...] = ()
    event_limits: tuple[Limit, ...] = ()
    default_tolerations: tuple[Object, ...] = ()
    allowed_tolerations: tuple[Object, ...] = ()
    node_selectors: Mapping[str, str] = {}
    image_policy: ImagePolicy | None = None
    webhooks: Mapping[str, Credentials] = {}
    """By the plug-ins of WEBHOOKS: who the server is to webhooks."""


def load(file: File | None, problems: Problems, enabled: Collection[str] | None = None) -> AdmissionConfiguration:
    """The file's content, checked, as far as enabled plug-ins (None: all) are in it. Problems are told, not raised."""
    found = {} if file is None else _plugins(file, problems)
    asked = found.keys() if enabled is None else enabled
    found = {name: each for name, each in found.items() if name in asked}
    default, allowed = _tolerations(found.get("PodTolerationRestriction"), problems)
    return AdmissionConfiguration(
        _pod_security(found.get("PodSecurity"), problems),
        _limited_resources(found.get("ResourceQuota"), problems),
        _event_limits(found.get("EventRateLimit"), problems),
        default,
        allowed,
        _node_selectors(found.get("PodNodeSelector")),
        _image_policy(found.get("ImagePolicyWebhook"), problems) if "ImagePolicyWebhook" in asked else None,
        {name: _credentials(name, found[name], problems) for name in WEBHOOKS if name in found},
    )


def _plugins(file: File, problems: Problems) -> dict[str, Object]:
    document = _document(file, problems)
    if document and not document.get("kind") and any(field in document for field in _UNVERSIONED.values()):
        return dict.fromkeys(_UNVERSIONED, document)
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


def _node_selectors(document: Mapping[str, Any] | None) -> dict[str, str]:
    """PodNodeSelector's: selectors by namespace. What is no text is passed over, as upstream."""
    said = (document or {}).get(_UNVERSIONED["PodNodeSelector"])
    return {str(key): value for key, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}


def _image_policy(document: Mapping[str, Any] | None, problems: Problems) -> ImagePolicy | None:
    """ImagePolicyWebhook's, without which it does not start."""
    begin, said = 'couldn\'t init admission plugin "ImagePolicyWebhook"', (document or {}).get("imagePolicy") or {}
    if document is None or not isinstance(said, dict):
        problems.add(FLAG, f"{begin}: no config specified")
        return None
    found: dict[str, float] = {}
    for key, what, unit, least, most, usual in _IMAGE_POLICY_TIMES:
        try:
            found[key] = _seconds(said.get(key) or 0, unit, least, most, usual)
        except ValueError as error:
            problems.add(FLAG, f"{begin}: {what}: {error}")
            return None
    if not said.get("kubeConfigFile"):
        problems.add(FLAG, f"{begin}: invalid configuration: no configuration has been provided")
        return None
    try:
        client = load_kubeconfig(said["kubeConfigFile"])
    except ConfigError as error:
        for problem in error.problems:
            problems.add(FLAG, f"{begin}: {problem}")
        return None
    allow = said.get("defaultAllow") is True
    return ImagePolicy(client, found["allowTTL"], found["denyTTL"], found["retryBackoff"], allow)


def _credentials(plugin: str, document: Mapping[str, Any], problems: Problems) -> Credentials:
    """WebhookAdmissionConfiguration: where the identities are."""
    kind = "WebhookAdmission" if document.get("apiVersion") == _WEBHOOKS_BEFORE else "WebhookAdmissionConfiguration"
    if not _is(document, plugin, kind, problems):
        return Credentials()
    begin, file = f'couldn\'t init admission plugin "{plugin}"', document.get("kubeConfigFile") or ""
    if not isinstance(file, str) or not file.startswith("/"):
        said = invalid(Path("kubeConfigFile"), file, "must be an absolute file path")
        problems.add(FLAG, f"{begin}: {said}")
        return Credentials()
    try:
        return load_credentials(File(file))
    except ConfigError as error:
        for problem in error.problems:
            problems.add(FLAG, f"{begin}: {problem}")
        return Credentials()


def _seconds(value: Any, unit: float, least: float, most: float, usual: float) -> float:
    """value: a whole number of units; 0 for the usual time, -1 for none. Raises ValueError."""
    if type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    if value in (-1, 0):
        return 0.0 if value else usual
    if not least <= value * unit <= most:
        between = f"{times.format_duration(least)} and {times.format_duration(most)}"
        raise ValueError(f"valid value is between {between}, got {times.format_duration(value * unit)}")
    return value * unit


def _not_empty(word: str) -> list[str]:
    return [] if word else ["username must not be empty"]


def _document(file: File, problems: Problems) -> Object | None:
    from apimachinery.meta.yaml_text import BadYaml, load  # 30 ms that most servers can do without

    try:
        found = load(file.read_bytes())
    except (OSError, BadYaml) as error:
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
