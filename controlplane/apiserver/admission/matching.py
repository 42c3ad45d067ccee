"""Whether a webhook or a policy is about a request (k8s.io/apiserver/pkg/admission/plugin/webhook/predicates)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.api.catalogue import NAMESPACES, Resource
from apimachinery.meta import status
from apimachinery.meta.labels import Selector
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.versions import equivalents

Object = dict[str, Any]

_EXEMPT = frozenset(
    {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy"}
    | {"ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
)
#: Groups of the kinds that only ask.
REVIEWS = ("authentication.k8s.io", "authorization.k8s.io")
_SCOPES = ("*", "Namespaced", "Cluster")


def is_exempt(review: Review) -> bool:
    """Whether it is about admission's own configuration, which nobody may lock themselves out of."""
    return review.resource.group == "admissionregistration.k8s.io" and review.resource.kind in _EXEMPT


def rule_matches(rule: Mapping[str, Any], review: Review, resource: Resource) -> bool:
    """A RuleWithOperations against the request, were it one of `resource`."""
    scope = rule.get("scope") or "*"
    cluster = not review.call.namespace
    if (scope == "Namespaced" and cluster) or (scope == "Cluster" and not cluster) or scope not in _SCOPES:
        return False
    return (
        _has(rule.get("operations"), review.operation)
        and _has(rule.get("apiGroups"), resource.group)
        and _has(rule.get("apiVersions"), resource.version)
        and any(_is(each, resource.plural, review.call.subresource) for each in rule.get("resources") or ())
    )


def match_rules(rules: Iterable[Mapping[str, Any]], review: Review, *, equivalent: bool) -> Resource | None:
    """The resource that the first matching rule knows the request by: the one asked for, or (matchPolicy Equivalent)
    another that serves the same objects. Rules may name the objects they are about (resourceNames)."""
    listed = list(rules)
    for rule in listed:
        if rule_matches(rule, review, review.resource) and _named(rule, review):
            return review.resource
    if equivalent:
        others = [each for each in equivalents(review.resource) if each is not review.resource]
        for rule in listed:
            for other in others:
                if rule_matches(rule, review, other) and _named(rule, review):
                    return other
    return None


async def namespace_matches(selector: Selector, review: Review, namespaces: Lookup) -> bool:
    """Objects in no namespace match, unless they are namespaces. Raises ApiError 404."""
    if selector.empty or not review.namespace:
        return True
    if review.is_for("", "namespaces") and review.operation in ("CREATE", "UPDATE"):
        return selector.matches(_labels(review.new))
    namespace = await namespaces.find("", review.namespace)
    if namespace is None:
        raise status.not_found(NAMESPACES, review.namespace)
    return selector.matches(_labels(namespace))


def object_matches(selector: Selector, review: Review) -> bool:
    """Whether the new or the old object is selected."""
    return selector.empty or any(
        each is not None and "metadata" in each and selector.matches(_labels(each)) for each in (review.new, review.old)
    )


def _labels(obj: Mapping[str, Any] | None) -> Mapping[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


def _has(items: Iterable[str] | None, word: str) -> bool:
    return any(each in ("*", word) for each in items or ())


def _is(pattern: str, plural: str, subresource: str) -> bool:
    wanted, _, below = pattern.partition("/")
    return wanted in ("*", plural) and below in ("*", subresource)


def _named(rule: Mapping[str, Any], review: Review) -> bool:
    names = rule.get("resourceNames")
    return not names or review.name in names
