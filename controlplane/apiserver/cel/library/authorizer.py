"""`authorizer.group("").resource("pods").check("get").allowed()` (Kubernetes' library.Authz).

The variable is an `AuthorizerValue`, made by whoever evaluates. Authorizers are asked at once, within the evaluation:
those that decide from memory (Node, RBAC) answer; one that has to wait counts as an error of the check. Field and
label selectors are accepted and not passed on: no authorizer here looks at them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from apimachinery.meta import names
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Authorizer, Decision
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import overload
from controlplane.apiserver.cel.values import Opaque

_PREFIX = "kubernetes.authorization."


@dataclass(frozen=True, slots=True)
class AuthorizerValue(Opaque):
    """Who is asked, and about whom."""

    authorizer: Authorizer
    user: User
    cel_name: ClassVar[str] = _PREFIX + "Authorizer"


@dataclass(frozen=True, slots=True)
class PathCheck(Opaque):
    asks: AuthorizerValue
    path: str
    cel_name: ClassVar[str] = _PREFIX + "PathCheck"


@dataclass(frozen=True, slots=True)
class GroupCheck(Opaque):
    asks: AuthorizerValue
    group: str
    cel_name: ClassVar[str] = _PREFIX + "GroupCheck"


@dataclass(frozen=True, slots=True)
class ResourceCheck(Opaque):
    """`authorizer.requestResource` is one, too."""

    asks: AuthorizerValue
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    cel_name: ClassVar[str] = _PREFIX + "ResourceCheck"


@dataclass(frozen=True, slots=True)
class DecisionValue(Opaque):
    allowed: bool
    reason: str
    error: str
    cel_name: ClassVar[str] = _PREFIX + "Decision"


def _path(asks: AuthorizerValue, path: str) -> PathCheck:
    if not path.strip():
        raise CelError("path must not be empty")
    return PathCheck(asks, path)


def _resource(check: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(check.asks, check.group, resource)


def _service_account(asks: AuthorizerValue, namespace: str, name: str) -> AuthorizerValue:
    if names.dns1123_subdomain(name):
        raise CelError("Invalid service account name")
    if names.dns1123_label(namespace):
        raise CelError("Invalid service account namespace")
    # Nobody has authenticated, and so it is not in that group, as upstream.
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return replace(asks, user=User(f"system:serviceaccount:{namespace}:{name}", groups=groups))


def _check_path(check: PathCheck, verb: str) -> DecisionValue:
    return _decide(check.asks, Attributes(check.asks.user, verb, path=check.path))


def _check_resource(check: ResourceCheck, verb: str) -> DecisionValue:
    attributes = Attributes(
        check.asks.user, verb, check.group, "*", check.resource, check.subresource, check.namespace, check.name
    )
    return _decide(check.asks, attributes)


def _decide(asks: AuthorizerValue, attributes: Attributes) -> DecisionValue:
    asking = asks.authorizer.authorize(attributes)
    try:
        asking.send(None)
    except StopIteration as answered:
        decision, reason = answered.value
        return DecisionValue(decision is Decision.ALLOW, reason, "")
    except Exception as e:
        return DecisionValue(False, "", str(e))
    asking.close()
    return DecisionValue(False, "", "the authorizer did not answer at once")


FUNCTIONS = [
    overload("Authorizer.path(string): PathCheck", _path),
    overload("Authorizer.group(string): GroupCheck", GroupCheck),
    overload("Authorizer.serviceAccount(string, string): Authorizer", _service_account),
    overload("GroupCheck.resource(string): ResourceCheck", _resource),
    overload("ResourceCheck.subresource(string): ResourceCheck", lambda check, word: replace(check, subresource=word)),
    overload("ResourceCheck.namespace(string): ResourceCheck", lambda check, word: replace(check, namespace=word)),
    overload("ResourceCheck.name(string): ResourceCheck", lambda check, word: replace(check, name=word)),
    overload("ResourceCheck.fieldSelector(string): ResourceCheck", lambda check, _: check),
    overload("ResourceCheck.labelSelector(string): ResourceCheck", lambda check, _: check),
    overload("PathCheck.check(string): Decision", _check_path, 35_000.0),
    overload("ResourceCheck.check(string): Decision", _check_resource, 35_000.0),
    overload("Decision.allowed(): bool", lambda decision: decision.allowed),
    overload("Decision.reason(): string", lambda decision: decision.reason),
    overload("Decision.errored(): bool", lambda decision: decision.error != ""),
    overload("Decision.error(): string", lambda decision: decision.error),
]
