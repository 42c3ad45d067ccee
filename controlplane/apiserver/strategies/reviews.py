"""Questions that are asked as objects and never stored: who is this token, may they, who am I."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.api import validation
from apimachinery.meta import status
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.authn.token_authenticators import TokenAuthenticator
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.abac import ABACAuthorizer
from controlplane.apiserver.authz.attributes import Attributes, Decision, EvaluationError
from controlplane.apiserver.authz.rbac import PolicyIndex, roles_not_found
from controlplane.apiserver.authz.union import Union
from controlplane.apiserver.registry.call import Call

Object = dict[str, Any]

_INVALID = "invalid bearer token"
"""Said first of every token that proves nothing: upstream's server has a token of its own, which is compared first."""


class Reviews:
    """Answers reviews of authentication.k8s.io and authorization.k8s.io."""

    def __init__(self, authorizer: Union, tokens: TokenAuthenticator, policy: PolicyIndex) -> None:
        self._authorizer, self._tokens, self._policy = authorizer, tokens, policy

    async def answer(self, call: Call, obj: Object) -> Object:
        """The review with its status. Raises ApiError 400 and 422 for one that asks nothing."""
        match call.resource.kind:
            case "TokenReview":
                answer = await self._token(obj)
            case "SelfSubjectReview":
                answer = {"userInfo": call.user.to_info()}
            case "SelfSubjectRulesReview":
                answer = self._rules(call.user, (obj.get("spec") or {}).get("namespace") or "")
                obj = {**obj, "spec": {}}  # upstream makes a new one
            case "SelfSubjectAccessReview":
                answer = await self._access(call, obj, call.user)
            case _:
                answer = await self._access(call, obj, None)
        meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
        return {**obj, "metadata": {**meta, "creationTimestamp": None}, "status": answer}

    async def _token(self, obj: Object) -> Object:
        spec = obj.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise status.bad_request("token is required for TokenReview in authentication")
        try:
            found = await self._tokens.authenticate(token, spec.get("audiences") or [])
        except TokenError as error:
            return {"authenticated": False, "user": {}, "error": aggregate([_INVALID, *error.reasons])}
        if found is None:
            return {"authenticated": False, "user": {}, "error": _INVALID}
        user, audiences = found
        return {"authenticated": True, "user": user.to_info(), "audiences": audiences}

    async def _access(self, call: Call, obj: Object, user: User | None) -> Object:
        spec = obj.get("spec") or {}
        resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if problems := validation.validate_access_review(obj["kind"], obj, call.namespace):
            # Upstream asks what it has decoded for its kind, which decoding takes away.
            raise status.invalid(".authorization.k8s.io", "", problems)
        if user is None:
            extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
            user = User(spec.get("user") or "", spec.get("uid") or "", tuple(spec.get("groups") or ()), extra)
        try:
            decision, reason = await self._authorizer.evaluate(attributes(user, resource, other))
        except EvaluationError as error:
            return {"allowed": False, **({"denied": True} if error.denied else {}), "evaluationError": str(error)}
        answer: Object = {"allowed": decision is Decision.ALLOW}
        if decision is Decision.DENY:
            answer["denied"] = True
        if reason:
            answer["reason"] = reason
        return answer

    def _rules(self, user: User, namespace: str) -> Object:
        if not namespace:
            raise status.bad_request("no namespace on request")
        resources: list[Object] = []
        others: list[Object] = []
        unknown: list[str] = []  # whose rules are not known, in order
        missing = ""
        for kind, decides in ((each.type, each.authorizer) for each in self._authorizer.authorizers):
            if kind == "Webhook":
                unknown.append("webhook authorizer does not support user rule resolution")
            elif kind == "Node" and user.node_name is not None:
                unknown.append("node authorizer does not support user rule resolution")
            elif kind == "AlwaysAllow":
                resources.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
                others.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
            elif kind == "RBAC":
                _sort(resources, others, (rule for rule, _ in self._policy.rules_for(user, namespace)))
                missing = roles_not_found(self._policy, user, namespace)
            elif isinstance(decides, ABACAuthorizer):
                _sort(resources, others, decides.rules_for(user, namespace))
        answer: Object = {"resourceRules": resources, "nonResourceRules": others, "incomplete": bool(unknown)}
        # A role that is not there is told, but makes nothing incomplete.
        if errors := [*unknown, *([missing] if missing else ())]:
            answer["evaluationError"] = aggregate(errors)
        return answer


def _sort(resources: list[Object], others: list[Object], rules: Iterable[Mapping[str, Any]]) -> None:
    """Put each rule where it belongs."""
    for rule in rules:
        if rule.get("nonResourceURLs"):
            others.append({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]})
        else:
            fields = ("verbs", "apiGroups", "resources", "resourceNames")
            resources.append({field: rule[field] for field in fields if rule.get(field)})


def attributes(user: User, resource: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Attributes:
    """What the spec of an access review asks."""
    if resource is None:
        found = other or {}
        return Attributes(user, found.get("verb") or "", path=found.get("path") or "")
    return Attributes(
        user,
        resource.get("verb") or "",
        resource.get("group") or "",
        resource.get("version") or "",
        resource.get("resource") or "",
        resource.get("subresource") or "",
        resource.get("namespace") or "",
        resource.get("name") or "",
        field_selector=_selector(resource.get("fieldSelector") or {}),
        label_selector=_selector(resource.get("labelSelector") or {}),
    )


def _selector(asked: Mapping[str, Any]) -> str:
    """A selector of an access review as a query would spell it. What cannot be spelt is left out, which asks for more
    than was meant: it never allows more (KEP-4601)."""
    if asked.get("rawSelector"):
        return str(asked["rawSelector"])
    terms = []
    for each in asked.get("requirements") or ():
        key, values = each.get("key"), each.get("values") or []
        match each.get("operator"):
            case "In":
                terms.append(f"{key}={values[0]}" if len(values) == 1 else f"{key} in ({','.join(values)})")
            case "NotIn":
                terms.append(f"{key}!={values[0]}" if len(values) == 1 else f"{key} notin ({','.join(values)})")
            case "Exists":
                terms.append(str(key))
            case "DoesNotExist":
                terms.append(f"!{key}")
    return ",".join(terms)
