"""Expressions that are refused when a policy or webhook is written, and those that are only warned of."""

import asyncio

import pytest

from apimachinery.api.catalogue import CATALOGUE, VALIDATINGADMISSIONPOLICIES
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.admission.policies.checks import policy_problems, type_warnings, webhook_problems
from controlplane.apiserver.admission.policies.status import PolicyStatus
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import put

DEPLOYMENTS = {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}


def policy(**spec):
    return {
        "metadata": {"name": "p", "generation": 2},
        "spec": {"matchConstraints": {"resourceRules": [DEPLOYMENTS]}, **spec},
    }


@pytest.mark.parametrize(
    ("spec", "path", "sentence"),
    [
        (
            {"validations": [{"expression": "object.x =="}]},
            "spec.validations[0].expression",
            "compilation failed: ERROR: <input>:1:",
        ),
        (
            {"validations": [{"expression": "'x'"}]},
            "spec.validations[0].expression",
            "must evaluate to bool but got string",
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "spec.validations[0].messageExpression",
            "must evaluate to string but got int",
        ),
        (
            {
                "validations": [
                    {"expression": "true", "messageExpression": "authorizer.path('/').check('get').reason()"}
                ]
            },
            "spec.validations[0].messageExpression",
            "undeclared reference to 'authorizer'",
        ),
        (
            {"validations": [{"expression": "request.nothing == 1"}]},
            "spec.validations[0].expression",
            "undefined field 'nothing'",
        ),
        (
            {"validations": [{"expression": "params.x == 1"}]},
            "spec.validations[0].expression",
            "undeclared reference to 'params'",
        ),
        (
            {"variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]},
            "spec.variables[0].expression",
            "undefined field 'b'",
        ),
        (
            {"auditAnnotations": [{"key": "k", "valueExpression": "true"}]},
            "spec.auditAnnotations[0].valueExpression",
            "must evaluate to one of [string null_type] but got bool",
        ),
        (
            {"matchConditions": [{"name": "c", "expression": "1"}]},
            "spec.matchConditions[0].expression",
            "must evaluate to bool but got int",
        ),
    ],
)
def test_refused(spec, path, sentence):
    (problem,) = policy_problems(policy(**spec))
    assert problem.path == path and sentence in problem.message


def test_fine():
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [{"name": "a", "expression": "object.spec"}, {"name": "b", "expression": "variables.a.replicas"}],
        "validations": [
            {"expression": "variables.b < int(params.data.max)", "messageExpression": "'no ' + request.name"}
        ],
        "auditAnnotations": [{"key": "k", "valueExpression": "null"}],
    }
    assert policy_problems(policy(**spec)) == []


def test_webhooks():
    hooks = {
        "webhooks": [{"matchConditions": [{"name": "a", "expression": "object.x"}, {"name": "b", "expression": "1 +"}]}]
    }
    untyped, broken = webhook_problems(hooks)
    assert untyped.path == "webhooks[0].matchConditions[0].expression"
    assert untyped.message.endswith("must evaluate to bool but got dyn")
    assert broken.path == "webhooks[0].matchConditions[1].expression" and "compilation failed" in broken.message


def test_variables_have_the_types_of_their_expressions():
    variables = [{"name": "a", "expression": "object.spec"}, {"name": "b", "expression": "has(variables.a.replicas)"}]
    found = policy_problems(policy(variables=variables, validations=[{"expression": f"variables.{x}"} for x in "ab"]))
    assert [(each.path, each.message.rpartition(": ")[2]) for each in found] == [
        ("spec.validations[0].expression", "must evaluate to bool but got dyn")
    ]


def test_a_literal_that_cannot_be_used():
    (problem,) = policy_problems(policy(validations=[{"expression": "object.x.find('[') == ''"}]))
    assert problem.type == "InternalError"
    assert problem.message.endswith("program instantiation failed: error parsing regexp: missing ]: `[`")


def test_what_does_not_fit_the_kind():
    asked = policy(
        variables=[{"name": "spec", "expression": "object.spec"}],
        validations=[
            {"expression": "object.replicas > 1"},
            {"expression": "variables.spec.replicas > 1"},
            {"expression": "variables.spec.replicas == 'a'"},
        ],
    )
    first, second = type_warnings(asked, CATALOGUE)
    assert first["fieldRef"] == "spec.validations[0].expression"
    assert first["warning"].startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'")
    assert second["fieldRef"] == "spec.validations[2].expression"
    assert "found no matching overload for '_==_' applied to '(int, string)'" in second["warning"]


async def test_the_status_tells(storage):
    store = ObjectStore(VALIDATINGADMISSIONPOLICIES, storage)
    status = PolicyStatus(store, lambda: CATALOGUE)
    tasks = [asyncio.create_task(status.feed.run()), asyncio.create_task(status.run())]
    await put(storage, VALIDATINGADMISSIONPOLICIES, policy(validations=[{"expression": "object.replicas > 1"}]))
    async with asyncio.timeout(10):
        while "status" not in (found := await store.get("", "p")):
            await asyncio.sleep(0.01)
    assert found["status"]["observedGeneration"] == 2
    assert len(found["status"]["typeChecking"]["expressionWarnings"]) == 1
    await cancel_and_wait(*tasks)
