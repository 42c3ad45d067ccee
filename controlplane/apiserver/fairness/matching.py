"""Which FlowSchema a request belongs to (apiserver/pkg/util/flowcontrol/rule.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes

_ACCOUNT = "system:serviceaccount:"


def matches(schema: Mapping[str, Any], asked: Attributes) -> bool:
    """Whether one of the schema's rules is about the request."""
    return any(_rule_matches(rule, asked) for rule in schema["spec"].get("rules") or ())


def distinguisher(schema: Mapping[str, Any], asked: Attributes) -> str:
    """What tells apart the flows of a schema: the user, the namespace, or nothing."""
    method = (schema["spec"].get("distinguisherMethod") or {}).get("type")
    if method == "ByUser":
        return asked.user.name
    return asked.namespace if method == "ByNamespace" else ""


def _rule_matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    if not any(_subject_matches(subject, asked.user) for subject in rule.get("subjects") or ()):
        return False
    if not asked.is_resource:
        return any(_path_matches(each, asked) for each in rule.get("nonResourceRules") or ())
    return any(_resource_matches(each, asked) for each in rule.get("resourceRules") or ())


def _subject_matches(subject: Mapping[str, Any], user: User) -> bool:
    match subject.get("kind"):
        case "User":
            return (subject.get("user") or {}).get("name") in ("*", user.name)
        case "Group":
            name = (subject.get("group") or {}).get("name")
            return name == "*" or name in user.groups
    account = subject.get("serviceAccount") or {}
    prefix = f"{_ACCOUNT}{account.get('namespace')}:"
    if account.get("name") == "*":
        return user.name.startswith(prefix)
    return user.name == f"{prefix}{account.get('name')}"


def _resource_matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    combined = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if not (
        _holds(rule.get("verbs"), asked.verb)
        and _holds(rule.get("apiGroups"), asked.group)
        and _holds(rule.get("resources"), combined)
    ):
        return False
    if not asked.namespace:
        return bool(rule.get("clusterScope"))
    return _holds(rule.get("namespaces"), asked.namespace)


def _path_matches(rule: Mapping[str, Any], asked: Attributes) -> bool:
    if not _holds(rule.get("verbs"), asked.verb):
        return False
    urls = rule.get("nonResourceURLs") or ()
    return any(
        url in ("*", asked.path) or (url.endswith("/*") and asked.path.startswith(url.removesuffix("*")))
        for url in urls
    )


def _holds(words: Any, word: str) -> bool:
    return bool(words) and ("*" in words or word in words)
