"""ValidatingAdmissionPolicy: rules, parameters, bindings, and what is said and done when a rule does not hold."""

from contextlib import asynccontextmanager

import orjson
import pytest

from apimachinery.api.catalogue import (
    CATALOGUE,
    CONFIGMAPS,
    NAMESPACES,
    NODES,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
)
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.policies import evaluate
from controlplane.apiserver.admission.policies.params import Params
from controlplane.apiserver.admission.policies.plugin import ValidatingAdmissionPolicy
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import deny, lookup, pod, put, review

PODS_RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def policy(*expressions, name="p", **spec):
    validations = [each if isinstance(each, dict) else {"expression": each} for each in expressions]
    constraints = {"resourceRules": [PODS_RULE]}
    return {"metadata": {"name": name}, "spec": {"matchConstraints": constraints, "validations": validations, **spec}}


def binding(*actions, name="b", policy="p", **spec):
    return {
        "metadata": {"name": name},
        "spec": {"policyName": policy, "validationActions": actions or ["Deny"], **spec},
    }


@asynccontextmanager
async def plugin(storage, *documents):
    """The plug-in with these policies and bindings."""
    await put(
        storage, NAMESPACES, {"metadata": {"name": "a", "labels": {"team": "blue"}}, "status": {"phase": "Active"}}
    )
    for each in documents:
        kind = VALIDATINGADMISSIONPOLICYBINDINGS if "policyName" in each["spec"] else VALIDATINGADMISSIONPOLICIES
        await put(storage, kind, each)
    params = Params(CATALOGUE.by_kind, lambda resource: ObjectStore(resource, storage))
    async with (
        lookup(storage, VALIDATINGADMISSIONPOLICIES) as policies,
        lookup(storage, VALIDATINGADMISSIONPOLICYBINDINGS) as bindings,
        lookup(storage, NAMESPACES) as namespaces,
    ):
        yield ValidatingAdmissionPolicy(policies, bindings, namespaces, params)


async def refused(storage, *documents, asked=None) -> ApiError:
    async with plugin(storage, *documents) as validating:
        with pytest.raises(ApiError) as caught:
            await validating.validate(asked or review(pod()))
    return caught.value


HEAD = "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


@pytest.mark.parametrize(
    ("validation", "code", "reason", "said"),
    [
        ({"expression": " object.kind == 'X' "}, 422, "Invalid", "failed expression: object.kind == 'X'"),
        ({"expression": "false", "message": " no pods "}, 422, "Invalid", "no pods"),
        ({"expression": "false", "reason": "Forbidden"}, 403, "Forbidden", "failed expression: false"),
        ({"expression": "false", "reason": "RequestEntityTooLarge", "message": "x"}, 413, "RequestEntityTooLarge", "x"),
        ({"expression": "false", "messageExpression": "'it is ' + object.metadata.name"}, 422, "Invalid", "it is p"),
        ({"expression": "false", "messageExpression": "'a\\nb'", "message": "m"}, 422, "Invalid", "m"),
        ({"expression": "false", "messageExpression": "object.nothing", "message": "m"}, 422, "Invalid", "m"),
        (
            {"expression": "object.nothing == 1"},
            422,
            "Invalid",
            "expression 'object.nothing == 1' resulted in error: no such key: nothing",
        ),
    ],
    ids=["expression", "message", "reason", "too large", "message expression", "two lines", "broken message", "error"],
)
async def test_what_is_said(storage, validation, code, reason, said):
    error = await refused(storage, policy(validation), binding())
    assert (error.code, error.reason) == (code, reason)
    assert error.message == HEAD + said
    assert error.details["causes"] == [{"message": (HEAD + said).partition(": ")[2]}]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (["object.metadata.name == 'q'", "object.metadata.name == 'q'", "false"], ""),
        (
            [{"expression": "false", "messageExpression": "'it is ' + object.metadata.name"}],
            "failed messageExpression: ",
        ),
    ],
)
async def test_without_budget_nothing_else_is_said(storage, monkeypatch, rules, said):
    monkeypatch.setattr(evaluate, "BUDGET", 6 if len(rules) > 1 else 3)
    error = await refused(storage, policy(*rules), binding())
    spent = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert error.message == HEAD + said + spent


async def test_without_budget_a_policy_can_be_ignored(storage, monkeypatch):
    monkeypatch.setattr(evaluate, "BUDGET", 1)
    async with plugin(storage, policy("false", "object.a.b", failurePolicy="Ignore"), binding()) as validating:
        await validating.validate(review(pod()))


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.containers.all(c, c.image != '')",
        "request.operation == 'CREATE' && request.userInfo.username == 'bob' && request.resource.resource == 'pods'",
        "namespaceObject.metadata.labels.team == 'blue'",
        "oldObject == null",
        "authorizer.group('').resource('pods').namespace('a').check('create').allowed()",
        "authorizer.requestResource.check('x').allowed()",
        "!has(object.metadata.annotations)",
    ],
)
async def test_what_expressions_see(storage, expression):
    async with plugin(storage, policy(expression), binding()) as validating:
        await validating.validate(review(pod()))


async def test_failures_can_be_ignored_but_not_refusals(storage):
    async with plugin(storage, policy("object.nothing == 1", failurePolicy="Ignore"), binding()) as validating:
        await validating.validate(review(pod()))
    await put(storage, VALIDATINGADMISSIONPOLICIES, policy("false", name="strict", failurePolicy="Ignore"))
    await put(storage, VALIDATINGADMISSIONPOLICYBINDINGS, binding(name="s", policy="strict"))
    with pytest.raises(ApiError, match="denied request: failed expression: false"):
        async with (
            lookup(storage, VALIDATINGADMISSIONPOLICIES) as policies,
            lookup(storage, VALIDATINGADMISSIONPOLICYBINDINGS) as bindings,
            lookup(storage, NAMESPACES) as namespaces,
        ):
            params = Params(CATALOGUE.by_kind, lambda resource: ObjectStore(resource, storage))
            await ValidatingAdmissionPolicy(policies, bindings, namespaces, params).validate(review(pod()))


async def test_a_policy_without_binding_does_nothing(storage):
    async with plugin(storage, policy("false"), binding(policy="other")) as validating:
        await validating.validate(review(pod()))


@pytest.mark.parametrize(
    ("constraints", "asked"),
    [
        ({"resourceRules": [{**PODS_RULE, "operations": ["UPDATE"]}]}, {}),
        ({"resourceRules": [{**PODS_RULE, "resourceNames": ["other"]}]}, {}),
        ({"resourceRules": [PODS_RULE], "excludeResourceRules": [PODS_RULE]}, {}),
        ({"resourceRules": [PODS_RULE], "namespaceSelector": {"matchLabels": {"team": "red"}}}, {}),
        ({"resourceRules": [PODS_RULE], "objectSelector": {"matchLabels": {"app": "web"}}}, {}),
    ],
    ids=["operation", "name", "excluded", "namespace", "object"],
)
async def test_what_is_not_meant(storage, constraints, asked):
    async with plugin(storage, policy("false", matchConstraints=constraints), binding()) as validating:
        await validating.validate(review(pod(), **asked))


async def test_a_binding_narrows(storage):
    narrow = binding(matchResources={"namespaceSelector": {"matchLabels": {"team": "red"}}})
    async with plugin(storage, policy("false"), narrow) as validating:
        await validating.validate(review(pod()))


async def test_conditions(storage):
    exempt = [{"name": "not-bob", "expression": "request.userInfo.username != 'bob'"}]
    async with plugin(storage, policy("false", matchConditions=exempt), binding()) as validating:
        await validating.validate(review(pod()))
        with pytest.raises(ApiError):
            await validating.validate(review(pod(), user="alice"))


async def test_variables_are_computed_when_they_are_named(storage):
    variables = [
        {"name": "images", "expression": "object.spec.containers.map(c, c.image)"},
        {"name": "first", "expression": "variables.images[0]"},
        {"name": "broken", "expression": "object.nothing"},
    ]
    asked = policy("true || variables.broken == 1", "variables.first == 'i'", variables=variables)
    async with plugin(storage, asked, binding()) as validating:
        await validating.validate(review(pod()))
    await put(storage, VALIDATINGADMISSIONPOLICIES, policy("variables.broken == 1", name="q", variables=variables))
    error = await refused_again(storage, binding(name="c", policy="q"))
    assert 'composited variable "broken" fails to evaluate' in error.message


async def refused_again(storage, another):
    await put(storage, VALIDATINGADMISSIONPOLICYBINDINGS, another)
    params = Params(CATALOGUE.by_kind, lambda resource: ObjectStore(resource, storage))
    async with (
        lookup(storage, VALIDATINGADMISSIONPOLICIES) as policies,
        lookup(storage, VALIDATINGADMISSIONPOLICYBINDINGS) as bindings,
        lookup(storage, NAMESPACES) as namespaces,
    ):
        with pytest.raises(ApiError) as caught:
            await ValidatingAdmissionPolicy(policies, bindings, namespaces, params).validate(review(pod()))
    return caught.value


async def test_warnings_and_audit(storage):
    annotation = {"key": "image", "valueExpression": "'image is ' + object.spec.containers[0].image"}
    nothing = {"key": "none", "valueExpression": "null"}
    asked = review(pod())
    documents = policy("false", auditAnnotations=[annotation, nothing]), binding("Warn", "Audit")
    async with plugin(storage, *documents) as validating:
        await validating.validate(asked)
    sentence = "failed expression: false"
    assert asked.call.warnings == [f"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': {sentence}"]
    failure = orjson.loads(asked.call.annotations["validation.policy.admission.k8s.io/validation_failure"])
    assert failure == [
        {
            "message": sentence,
            "policy": "p",
            "binding": "b",
            "expressionIndex": 0,
            "validationActions": ["Warn", "Audit"],
        }
    ]
    assert asked.call.annotations["p/image"] == "image is i" and "p/none" not in asked.call.annotations


async def test_an_audit_annotation_that_fails_denies(storage):
    annotation = {"key": "image", "valueExpression": "object.nothing"}
    error = await refused(storage, policy("true", auditAnnotations=[annotation]), binding("Audit"))
    assert "expression 'object.nothing' resulted in error: no such key: nothing" in error.message


PARAMS = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
LIMIT = "object.spec.containers.size() <= int(params.data.max)"


async def limits(storage, *names, namespace="a", maximum="0"):
    for name in names:
        meta = {"name": name, "namespace": namespace, "labels": {"limit": "yes"}}
        await put(storage, CONFIGMAPS, {"metadata": meta, "data": {"max": maximum}})


@pytest.mark.parametrize(
    "reference",
    [{"name": "m"}, {"name": "m", "namespace": "a"}, {"selector": {"matchLabels": {"limit": "yes"}}}],
    ids=["name", "namespace", "selector"],
)
async def test_parameters(storage, reference):
    await limits(storage, "m")
    bound = binding(paramRef={**reference, "parameterNotFoundAction": "Deny"})
    error = await refused(storage, policy(LIMIT, **PARAMS), bound)
    assert error.message == HEAD + f"failed expression: {LIMIT}"


async def test_parameters_that_are_not_there(storage):
    allowed = binding(paramRef={"name": "gone", "parameterNotFoundAction": "Allow"})
    async with plugin(storage, policy(LIMIT, **PARAMS), allowed) as validating:
        await validating.validate(review(pod()))
    denied = binding(name="c", paramRef={"name": "gone", "parameterNotFoundAction": "Deny"})
    error = await refused_again(storage, denied)
    assert error.message.endswith(
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )


@pytest.mark.parametrize(("version", "shown"), [("rules.example.com/v1", "rules.example.com/v1"), ("v1", "/v1")])
async def test_an_unknown_parameter_kind(storage, version, shown):
    kind = {"paramKind": {"apiVersion": version, "kind": "Limit"}}
    error = await refused(storage, policy("true", **kind), binding())
    assert error.message == (
        "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to "
        f"find resource referenced by paramKind: '{shown}, Kind=Limit'"
    )


async def test_cluster_scoped_objects(storage):
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["nodes"]}
    asked = policy("namespaceObject == null && !has(request.namespace)", matchConstraints={"resourceRules": [rule]})
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    async with plugin(storage, asked, binding()) as validating:
        await validating.validate(review(node, resource=NODES))


async def test_nobody_locks_themselves_out(storage):
    everything = {"resourceRules": [{**PODS_RULE, "apiGroups": ["*"], "resources": ["*"]}]}
    async with plugin(storage, policy("false", matchConstraints=everything), binding()) as validating:
        mine = {"metadata": {"name": "p"}}
        await validating.validate(review(mine, resource=VALIDATINGADMISSIONPOLICIES, operation="DELETE", old=mine))


async def test_who_may(storage):
    exempt = "authorizer.requestResource.check('bypass').allowed()"
    async with plugin(storage, policy(exempt), binding()) as validating:
        await validating.validate(review(pod()))
        with pytest.raises(ApiError):
            await validating.validate(review(pod(), authorize=deny))
