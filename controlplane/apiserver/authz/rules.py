"""Whether a PolicyRule covers a request, or another rule (k8s.io/component-helpers/auth/rbac/validation)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controlplane.apiserver.authz.attributes import Attributes

Rule = Mapping[str, Any]


def allows(rule: Rule, attributes: Attributes) -> bool:
    """Tell whether one rule allows one request."""
    verbs = rule.get("verbs") or ()
    if attributes.verb not in verbs and "*" not in verbs:
        return False
    if not attributes.is_resource:
        return any(_url_matches(url, attributes.path) for url in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if attributes.group not in groups and "*" not in groups:
        return False
    if not _resource_matches(rule.get("resources") or (), attributes.resource, attributes.subresource):
        return False
    names = rule.get("resourceNames") or ()
    return not names or attributes.name in names


def _resource_matches(resources: Sequence[str], resource: str, subresource: str) -> bool:
    combined = f"{resource}/{subresource}" if subresource else resource
    if combined in resources or "*" in resources:
        return True
    return bool(subresource) and f"*/{subresource}" in resources


def _url_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def uncovered(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The atoms of `wanted` (one verb, group, resource, name each) that no rule of `owned` covers."""
    held = list(owned)
    return [atom for rule in wanted for atom in _atoms(rule) if not any(_covers(each, atom) for each in held)]


def _atoms(rule: Rule) -> Iterable[Rule]:
    for verb in rule.get("verbs") or ():
        for url in rule.get("nonResourceURLs") or ():
            yield {"verbs": [verb], "nonResourceURLs": [url]}
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for name in rule.get("resourceNames") or [None]:
                    atom = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                    yield atom if name is None else {**atom, "resourceNames": [name]}


def _covers(rule: Rule, atom: Rule) -> bool:
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and atom["verbs"][0] not in verbs:
        return False
    if "nonResourceURLs" in atom:
        url = atom["nonResourceURLs"][0]
        return any(_url_matches(pattern, url) for pattern in rule.get("nonResourceURLs") or ())
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    if "*" not in groups and atom["apiGroups"][0] not in groups:
        return False
    subresource = atom["resources"][0].partition("/")[2]
    if "*" not in resources and atom["resources"][0] not in resources and f"*/{subresource}" not in resources:
        return False
    names = rule.get("resourceNames") or ()
    return not names or (bool(atom.get("resourceNames")) and atom["resourceNames"][0] in names)


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """Rules on the same single resource joined into one with all their verbs (CompactRules)."""
    joined: dict[tuple[str, ...], dict[str, Any]] = {}
    others: list[Rule] = []
    for rule in rules:
        groups, resources, names = (rule.get(key) or () for key in ("apiGroups", "resources", "resourceNames"))
        if rule.get("nonResourceURLs") or len(groups) != 1 or len(resources) != 1 or len(names) > 1:
            others.append(rule)
            continue
        known = joined.setdefault((*groups, *resources, *names), {**rule, "verbs": []})
        known["verbs"] += [verb for verb in rule["verbs"] if verb not in known["verbs"]]
    return [*others, *joined.values()]


def describe(rule: Rule) -> str:
    """A rule in Go's compact spelling, as escalation errors list it."""
    parts = []
    for key, label in (
        ("apiGroups", "APIGroups"),
        ("resources", "Resources"),
        ("nonResourceURLs", "NonResourceURLs"),
        ("resourceNames", "ResourceNames"),
        ("verbs", "Verbs"),
    ):
        if rule.get(key):
            values = " ".join(f'"{value}"' for value in rule[key])
            parts.append(f"{label}:[{values}]")
    return "{" + ", ".join(parts) + "}"
