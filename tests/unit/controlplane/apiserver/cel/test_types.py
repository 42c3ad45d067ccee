"""Checks by declared types, as CRDs declare them; and the authorizer variable."""

import base64

import pytest

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.cel import (
    BOOL,
    DYN,
    INT,
    STRING,
    Budget,
    CelError,
    compile_expression,
    list_of,
    map_of,
    optional_of,
)
from controlplane.apiserver.cel.library.authorizer import AuthorizerValue
from controlplane.apiserver.cel.types import BYTES, Field, ObjectType, Type

SPEC = ObjectType(
    "object",
    fields={
        "replicas": Field("replicas", INT),
        "names": Field("names", list_of(STRING)),
        "sizes": Field("sizes", map_of(STRING, INT)),
        "a__dash__b": Field("a-b", STRING),
        "data": Field("data", BYTES, base64.b64decode),
    },
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("self.replicas", INT),
        ("self.names[0]", STRING),
        ("self.names.map(x, x.size())", list_of(INT)),
        ("self.sizes.map(k, self.sizes[k])", list_of(INT)),
        ("self.sizes['a'] > 1", BOOL),
        ("self.?replicas", optional_of(INT)),
        ("self.?replicas.orValue(1)", INT),
        ("dyn(self.replicas)", DYN),
        ("self == null", BOOL),
        ("self.names.filter(x, x != '')", list_of(STRING)),
        ("self.replicas > 1 ? [] : self.names", list_of(STRING)),
    ],
)
def test_type_of(text: str, kind: Type) -> None:
    assert compile_expression(text, {"self": SPEC}).type == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("self.nope", "ERROR: <input>:1:5: undefined field 'nope'\n | self.nope\n | ....^"),
        ("has(self.nope)", "undefined field 'nope'"),
        ("self.replicas == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.replicas == null", "found no matching overload for '_==_' applied to '(int, null)'"),
        ("self.names.all(x, x > 1)", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.?replicas + 1", "found no matching overload for '_+_' applied to '(optional_type(int), int)'"),
        ("1 in self.names", "found no matching overload for '@in' applied to '(int, list(string))'"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        compile_expression(text, {"self": SPEC})
    assert message in str(caught.value)


def test_result_type() -> None:
    with pytest.raises(CelError, match="must evaluate to bool"):
        compile_expression("self.replicas", {"self": SPEC}, result=BOOL)
    compile_expression("dyn(1)", [], result=BOOL)


def test_fields_are_read_as_declared() -> None:
    program = compile_expression("self.data == b'hi' && self.a__dash__b == 'x' && !has(self.names)", {"self": SPEC})
    assert program.evaluate({"self": {"data": base64.b64encode(b"hi").decode(), "a-b": "x"}}) is True


def test_budget_is_shared() -> None:
    program, budget = compile_expression("self.all(x, x > 0)", ["self"]), Budget(1000)
    program.evaluate({"self": [1] * 100}, budget)
    assert 400 < budget.left < 900


class OnlyPods:
    """Allows pods to be read in namespace a, and one service account everything."""

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        if attributes.user.name == "system:serviceaccount:ns:sa":
            return Decision.ALLOW, "the account"
        if (attributes.resource, attributes.verb, attributes.namespace) == ("pods", "get", "a"):
            return Decision.ALLOW, "pods"
        return Decision.NO_OPINION, "nobody said yes"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("authorizer.group('').resource('pods').namespace('a').check('get').allowed()", True),
        ("authorizer.group('').resource('pods').namespace('b').check('get').allowed()", False),
        ("authorizer.group('').resource('pods').check('get').reason()", "nobody said yes"),
        ("authorizer.path('/healthz').check('get').allowed()", False),
        (
            "authorizer.serviceAccount('ns', 'sa').group('g').resource('x').subresource('y').check('*').allowed()",
            True,
        ),
        ("authorizer.group('').resource('pods').check('get').errored()", False),
    ],
)
def test_authorizer(text: str, expected: object) -> None:
    value = AuthorizerValue(OnlyPods(), User("ann"))
    assert compile_expression(text, ["authorizer"]).evaluate({"authorizer": value}) == expected


def test_authorizer_refuses_bad_names() -> None:
    value = AuthorizerValue(OnlyPods(), User("ann"))
    with pytest.raises(CelError, match="path must not be empty"):
        compile_expression("authorizer.path(' ')", ["authorizer"]).evaluate({"authorizer": value})


def test_a_service_account_is_only_in_its_own_groups() -> None:
    class Groups:
        async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
            return Decision.DENY, ",".join(attributes.user.groups)

    text = "authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('get').reason()"
    value = AuthorizerValue(Groups(), User("ann"))
    assert compile_expression(text, ["authorizer"]).evaluate({"authorizer": value}) == (
        "system:serviceaccounts,system:serviceaccounts:ns"
    )
