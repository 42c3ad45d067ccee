"""--authorization-mode=ABAC: policies in a file, one JSON object a line (pkg/auth/authorizer/abac)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from apimachinery.kit.config import ConfigError
from controlplane.apiserver.authn.user import AUTHENTICATED, User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.strict import Shape, fields_of

Object = dict[str, Any]

_VERSION, _KIND = "abac.authorization.kubernetes.io/v1beta1", "Policy"
_TEXTS = dict.fromkeys(("user", "group", "apiGroup", "resource", "namespace", "nonResourcePath"), "string")
_SPEC = Shape("PolicySpec", {**_TEXTS, "readonly": "bool"})
_POLICY = Shape("Policy", {"spec": _SPEC})
_READS = ("get", "list", "watch")


class Policy(Struct, frozen=True):
    """One line. A policy of neither user nor group is nobody's."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    api_group: str = ""
    resource: str = ""
    namespace: str = ""
    path: str = ""

    def about(self, user: User) -> bool:
        """Whether it is about that user."""
        if self.user and self.user != user.name:
            return False
        if self.group and self.group not in user.groups:
            return False
        return bool(self.user or self.group)

    def allows(self, asked: Attributes) -> bool:
        """Whether it allows that request."""
        if (self.readonly and asked.verb not in _READS) or not self.about(asked.user):
            return False
        if not asked.is_resource:
            path = self.path
            return path in ("*", asked.path) or (path.endswith("*") and asked.path.startswith(path.rstrip("*")))
        return (
            self.namespace in ("*", asked.namespace)
            and self.resource in ("*", asked.resource)
            and self.api_group in ("*", asked.group)
        )


class ABACAuthorizer:
    """Allows what one of the policies allows."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = policies

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        for policy in self._policies:
            if policy.allows(attributes):
                return Decision.ALLOW, ""
        return Decision.NO_OPINION, "No policy matched."

    def rules_for(self, user: User, namespace: str) -> Iterator[Object]:
        """What the user may do there, as rules of roles."""
        for policy in self._policies:
            if policy.about(user) and policy.namespace in ("*", namespace):
                verbs = list(_READS) if policy.readonly else ["*"]
                if policy.resource:
                    yield {"verbs": verbs, "apiGroups": [policy.api_group], "resources": [policy.resource]}
                if policy.path:
                    yield {"verbs": verbs, "nonResourceURLs": [policy.path]}


def load(path: Path) -> tuple[Policy, ...]:
    """The policies in a file. Raises ConfigError with what is wrong with each line, OSError."""
    policies, problems = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            policies.append(_policy(text))
        except ValueError as error:
            shown = line.decode(errors="replace")
            problems.append(f"error reading policy file {path}, line {number}: {shown}: {error}")
    if problems:
        raise ConfigError(problems)
    return tuple(policies)


def _policy(text: bytes) -> Policy:
    """Raises ValueError."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("couldn't get version/kind; json parse error: not an object")
    if not document.get("apiVersion"):
        return _unversioned(_read(document, Shape("Policy", _SPEC.fields), "v0"))
    if (document["apiVersion"], document.get("kind")) != (_VERSION, _KIND):
        raise ValueError(f'no kind "{document.get("kind") or ""}" is registered for version "{document["apiVersion"]}"')
    said = _read(document, _POLICY, "v1beta1").get("spec") or {}
    return _subject(said, said.get("nonResourcePath", ""), said.get("apiGroup", ""), said.get("resource", ""))


def _subject(said: Mapping[str, Any], path: str, group: str, resource: str, namespace: str | None = None) -> Policy:
    user, members = said.get("user", ""), said.get("group", "")
    if "*" in (user, members):
        user, members = "", AUTHENTICATED
    where = said.get("namespace", "") if namespace is None else namespace
    return Policy(user, members, said.get("readonly", False), group, resource, where, path)


def _unversioned(said: Mapping[str, Any]) -> Policy:
    """Of the form that had no version, what is not said means everything."""
    resource, namespace = said.get("resource", ""), said.get("namespace", "")
    whose = said if said.get("user") or said.get("group") else {**said, "group": AUTHENTICATED}
    path = "" if resource or namespace else "*"
    return _subject(whose, path, "*", resource or "*", namespace or "*")


def _read(document: Mapping[str, Any], shape: Shape, version: str) -> Object:
    found = fields_of(document, shape, version)
    if found.wrong:
        raise ValueError(", ".join(found.wrong))
    return found.fields  # unknown fields are nobody's business here
