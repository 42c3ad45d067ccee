"""ValidatingAdmissionPolicy: every policy that is bound to the request, and what its binding does with the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from apimachinery.api.catalogue import NAMESPACES, Resource
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.expressions import bindings
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.matching import REVIEWS, is_exempt
from controlplane.apiserver.admission.policies.evaluate import Denial, Outcome, evaluate
from controlplane.apiserver.admission.policies.params import Misconfigured, Params
from controlplane.apiserver.admission.policies.policy import Binding, Policy, parse_binding, parse_policy

Object = dict[str, Any]

MAX_ANNOTATION = 10 * 1024
"""Characters of an audit annotation's value."""
_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}
_HIDDEN = ("managedFields", "ownerReferences")


class ValidatingAdmissionPolicy(Plugin):
    """k8s.io/apiserver/pkg/admission/plugin/policy/validating."""

    name = "ValidatingAdmissionPolicy"

    def __init__(self, policies: Lookup, bound: Lookup, namespaces: Lookup, params: Params) -> None:
        self._policies, self._bindings, self._namespaces, self._params = policies, bound, namespaces, params
        self._versions = -1, -1
        self._ready: list[Policy] = []

    async def validate(self, review: Review) -> None:
        # Reviews: a policy could shut everybody out; webhooks are asked about them (pkg/admission/exclusion).
        if is_exempt(review) or review.resource.group in REVIEWS:
            return
        await self._policies.ready(review)
        await self._bindings.ready(review)
        denied: list[tuple[Policy, Binding | None, Denial]] = []
        seen: dict[Resource, dict[str, Any]] = {}
        for policy in self._current():
            try:
                resource = await self._meant(policy, review)
            except Misconfigured as error:
                if policy.fail:
                    denied.append((policy, None, Denial(0, f"failed to configure policy: {error}")))
                continue
            if resource is None:
                continue
            annotations: dict[str, list[str]] = {}
            for binding in policy.bindings:
                try:
                    outcomes = await self._outcomes(policy, binding, review, resource, seen)
                except Misconfigured as error:
                    if policy.fail:
                        denied.append((policy, binding, Denial(0, f"failed to configure binding: {error}")))
                    continue
                for outcome in outcomes:
                    denied += [(policy, binding, each) for each in _act(policy, binding, outcome, review)]
                    for key, value in outcome.annotations:
                        values = annotations.setdefault(key, [])
                        if value[:MAX_ANNOTATION] not in values:
                            values.append(value[:MAX_ANNOTATION])
            for key, values in annotations.items():
                review.call.annotate(f"{policy.name}/{key}", ", ".join(values))
        if denied:
            raise _refusal(review, *denied[0])

    def _current(self) -> list[Policy]:
        """The policies that are bound, by name."""
        versions = self._policies.version, self._bindings.version
        if versions != self._versions:
            bound: dict[str, list[Binding]] = {}
            for document in self._bindings.all():
                binding = parse_binding(document)
                bound.setdefault(binding.policy, []).append(binding)
            self._ready = []
            for document in self._policies.all():
                name = document["metadata"]["name"]
                if name in bound:
                    policy = parse_policy(document)
                    policy.bindings.extend(bound[name])
                    self._ready.append(policy)
            self._versions = versions
        return self._ready

    async def _meant(self, policy: Policy, review: Review) -> Resource | None:
        if policy.criteria is None:
            raise Misconfigured("policy contained no match constraints, a required field")
        found = await policy.criteria.matches(review, self._namespaces)
        if found is not None and policy.params is not None:
            self._params.resource(policy.params)
        return found

    async def _outcomes(
        self,
        policy: Policy,
        binding: Binding,
        review: Review,
        resource: Resource,
        seen: dict[Resource, dict[str, Any]],
    ) -> list[Outcome]:
        """One for each parameter; none when the binding does not mean the request. seen: bindings of expressions."""
        if binding.criteria is not None and await binding.criteria.matches(review, self._namespaces) is None:
            return []
        params = await self._params.collect(policy.params, binding.params, review.namespace)
        if not params:
            return []
        if resource not in seen:
            seen[resource] = bindings(review, resource)
        namespace = await self._namespace(review)
        return [evaluate(policy, seen[resource], each, namespace) for each in params]

    async def _namespace(self, review: Review) -> Object | None:
        """What expressions see of the request's namespace; None for what is in none, and for a namespace itself."""
        if not review.call.namespace:
            return None
        found = await self._namespaces.find("", review.call.namespace)
        if found is None:
            raise status.not_found(NAMESPACES, review.call.namespace)
        meta = {field: value for field, value in found["metadata"].items() if field not in _HIDDEN}
        return {"metadata": meta, "spec": found.get("spec") or {}, "status": found.get("status") or {}}


def _act(policy: Policy, binding: Binding, outcome: Outcome, review: Review) -> list[Denial]:
    """Warn, note, and return what is to be denied."""
    denied = []
    for denial in outcome.denials:
        for action in binding.actions:
            if action == "Deny":
                denied.append(denial)
            elif action == "Audit":
                failure = {
                    "message": denial.message,
                    "policy": policy.name,
                    "binding": binding.name,
                    "expressionIndex": denial.index,
                    "validationActions": list(binding.actions),
                }
                review.call.annotate(_FAILURE, orjson.dumps([failure]).decode())
            elif action == "Warn":
                review.call.warn(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}': "
                    f"{denial.message}"
                )
    return [*denied, *(Denial(0, error) for error in outcome.errors)]


def _refusal(review: Review, policy: Policy, binding: Binding | None, denial: Denial) -> status.ApiError:
    by = f" with binding '{binding.name}'" if binding is not None else ""
    message = f"ValidatingAdmissionPolicy '{policy.name}'{by} denied request: {denial.message}"
    error = review.forbidden(message)
    reason = denial.reason or "Invalid"
    details: Mapping[str, Any] = {**(error.details or {}), "causes": [{"message": message}]}
    return status.ApiError(_CODES.get(reason, 422), reason, error.message, dict(details))
