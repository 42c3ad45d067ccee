"""--audit-policy-file: which requests are written down, and how much of each (audit.k8s.io/v1 Policy)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

from msgspec import Struct

from apimachinery.meta import names
from apimachinery.meta import paths as fields
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.strict import Shape, decode

log = logging.getLogger(__name__)

API_VERSION = "audit.k8s.io/v1"
RECEIVED, STARTED, COMPLETE, PANIC = STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
_LEVELS = ("None", "Metadata", "Request", "RequestResponse")
_OMITTED: Mapping[str, Any] = {"omitStages": ["string"], "omitManagedFields": "bool"}
_RESOURCES = Shape("GroupResources", {"group": "string", "resources": ["string"], "resourceNames": ["string"]})
_RULE = Shape(
    "PolicyRule",
    {
        "level": "string",
        **{key: ["string"] for key in ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs")},
        "resources": [_RESOURCES],
        **_OMITTED,
    },
)
_POLICY = Shape("Policy", {"metadata": "any", "rules": [_RULE], **_OMITTED})


class Level(IntEnum):
    """How much of a request is written."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    def __str__(self) -> str:
        return _LEVELS[self]


class Decision(Struct, frozen=True):
    """What the policy says about one request. omitted: stages that are not written."""

    level: Level
    omitted: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


class Policy(Struct, frozen=True):
    """Rules; the first that matches decides. What no rule matches is not written."""

    rules: tuple[tuple[Mapping[str, Any], Decision], ...]
    omitted: frozenset[str] = frozenset()

    def decide(self, asked: Attributes) -> Decision:
        """The decision about a request."""
        for rule, decision in self.rules:
            if matches(rule, asked):
                return decision
        return Decision(Level.NONE, self.omitted)


def load(path: Path) -> Policy:
    """The policy in a YAML or JSON file. Raises ValueError naming every problem, OSError."""
    try:
        return build(_read(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{error}: from file {path}") from None


def _read(text: bytes) -> Mapping[str, Any]:
    """A valid policy. A field that is not known is only told, as upstream, which decodes once more without looking at
    names. Raises ValueError."""
    found = decode(text, "Policy", (API_VERSION,), _POLICY)
    if found.wrong:
        raise ValueError(f"failed decoding: {'; '.join(found.wrong)}")
    if found.unknown:
        log.warning("Audit policy contains errors, falling back to lenient decoding: %s", found.unknown)
    if problems := validate(found.fields):
        raise ValueError(fields.aggregate(problems))
    if not found.fields.get("rules"):
        raise ValueError("loaded illegal policy with 0 rules")
    return found.fields


def build(document: Mapping[str, Any]) -> Policy:
    """The policy that a valid document spells."""
    everywhere = frozenset(document.get("omitStages") or ())
    plain = bool(document.get("omitManagedFields"))
    rules = []
    for rule in document["rules"]:
        own = rule.get("omitManagedFields")
        decision = Decision(
            Level(_LEVELS.index(rule["level"])),
            everywhere | frozenset(rule.get("omitStages") or ()),
            plain if own is None else bool(own),
        )
        rules.append((rule, decision))
    return Policy(tuple(rules), everywhere)


def matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    """Whether a rule is about a request (ruleMatches of apiserver/pkg/audit/policy)."""
    users, groups, verbs = rule.get("users"), rule.get("userGroups"), rule.get("verbs")
    if users and asked.user.name not in users:
        return False
    if groups and not set(groups) & set(asked.user.groups):
        return False
    if verbs and asked.verb not in verbs:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        return asked.is_resource and _resource_matches(rule, asked)
    if urls := rule.get("nonResourceURLs"):
        return not asked.is_resource and any(_url_matches(url, asked.path) for url in urls)
    return True


def _resource_matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    if rule.get("namespaces") and asked.namespace not in rule["namespaces"]:
        return False
    if not rule.get("resources"):
        return True
    combined = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    for each in rule["resources"]:
        if (each.get("group") or "") != asked.group:
            continue
        if not each.get("resources"):
            return True
        if each.get("resourceNames") and asked.name not in each["resourceNames"]:
            continue
        wanted = {combined, "*", f"{asked.resource}/*"}
        if asked.subresource:
            wanted.add(f"*/{asked.subresource}")
        if wanted & set(each["resources"]):
            return True
    return False


def _url_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def validate(document: Mapping[str, Any]) -> list[fields.Problem]:
    """What is wrong with a decoded policy, in upstream's words."""
    problems = _stages(document, fields.Path("omitStages"))
    for position, rule in enumerate(document.get("rules") or ()):
        where = fields.Path("rules").index(position)
        level = rule.get("level") or ""
        if not level:
            problems.append(fields.required(where.child("level")))
        elif level not in _LEVELS:
            problems.append(fields.not_supported(where.child("level"), level, _LEVELS))
        urls = rule.get("nonResourceURLs") or ()
        problems += _urls(urls, where.child("nonResourceURLs"))
        for each in rule.get("resources") or ():
            problems += _resources(each, where.child("resources"))
        problems += _stages(rule, where.child("omitStages"))
        if urls and (rule.get("resources") or rule.get("namespaces")):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            problems.append(fields.invalid(where.child("nonResourceURLs"), urls, detail))
    return problems


def _urls(urls: Sequence[str], where: fields.Path) -> list[fields.Problem]:
    problems = []
    for position, url in enumerate(urls):
        if url == "*":
            continue
        if not url.startswith("/"):
            detail = "non-resource URL rules must begin with a '/' character"
            problems.append(fields.invalid(where.index(position), url, detail))
        if "*" in url[:-1]:
            detail = "non-resource URL wildcards '*' must be the final character of the rule"
            problems.append(fields.invalid(where.index(position), url, detail))
    return problems


def _resources(each: Mapping[str, Any], where: fields.Path) -> list[fields.Problem]:
    problems = []
    if group := each.get("group"):
        wrong = names.dns1123_subdomain(group)
        if wrong:
            problems.append(fields.invalid(where.child("group"), group, ",".join(wrong)))
    if each.get("resourceNames") and not each.get("resources"):
        detail = "using resourceNames requires at least one resource"
        problems.append(fields.invalid(where.child("resourceNames"), each["resourceNames"], detail))
    return problems


def _stages(holder: Mapping[str, Any], where: fields.Path) -> list[fields.Problem]:
    return [
        fields.invalid(where.index(position), stage, "allowed stages are " + ",".join(STAGES))
        for position, stage in enumerate(holder.get("omitStages") or ())
        if stage not in STAGES
    ]
