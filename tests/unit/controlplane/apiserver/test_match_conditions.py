"""matchConditions of authorization webhooks."""

from __future__ import annotations

import pytest

from apimachinery.kit.metrics import REGISTRY
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.authz.match_conditions import ConditionError, MatchConditions, mistake

JANE = User("jane", "7", ("devs",), {"team": ("a", "b")})
PODS = Attributes(
    JANE, "list", "", "v1", "pods", "", "default", field_selector="spec.nodeName=n", label_selector="a=b,c"
)
PATH = Attributes(User("joe"), "get", path="/metrics")


@pytest.mark.parametrize(
    ("text", "pods", "path"),
    [
        ("has(request.resourceAttributes)", True, False),
        ("has(request.nonResourceAttributes)", False, True),
        ("has(request.resourceAttributes) && request.resourceAttributes.namespace == 'default'", True, False),
        ("!has(request.resourceAttributes) || request.resourceAttributes.subresource == ''", True, True),
        ("has(request.nonResourceAttributes) && request.nonResourceAttributes.path.startsWith('/m')", False, True),
        ("request.user == 'jane' && request.uid == '7'", True, False),
        ("'devs' in request.groups", True, False),
        ("request.extra.exists(k, 'b' in request.extra[k])", True, False),
        ("has(request.extra) && has(request.groups)", True, True),
        ("request.?resourceAttributes.fieldSelector.hasValue()", True, False),
        ("request.?resourceAttributes.fieldSelector.requirements[0].key.orValue('') == 'spec.nodeName'", True, False),
        (
            "request.?resourceAttributes.labelSelector.requirements.orValue([]).exists(r, r.operator == 'Exists' "
            "&& r.values.size() == 0)",
            True,
            False,
        ),
    ],
)
def test_what_they_see(text: str, pods: bool, path: bool) -> None:
    assert mistake(text) == ""
    conditions = MatchConditions([text], "sees")
    assert (conditions.match(PODS), conditions.match(PATH)) == (pods, path)


def counted(what: str, name: str) -> float:
    metric = f"apiserver_authorization_match_condition_{what}"
    return REGISTRY.get_sample_value(metric, {"type": "Webhook", "name": name}) or 0.0


def test_errors_and_exclusions() -> None:
    broken, other = "request.nonResourceAttributes.path == '/'", "request.extra['none'].size() > 0"
    name = "errors"
    with pytest.raises(ConditionError) as one:
        MatchConditions([broken, "true"], name).match(PODS)
    assert str(one.value) == (
        f"cel evaluation error: expression '{broken}' resulted in error: no such key: nonResourceAttributes"
    )
    with pytest.raises(ConditionError) as two:
        MatchConditions([broken, other], name).match(PODS)
    assert str(two.value).startswith("[cel evaluation error: ") and str(two.value).count("no such key") == 2
    assert (counted("evaluation_errors_total", name), counted("exclusions_total", name)) == (2, 0)
    assert not MatchConditions([broken, "request.user == 'joe'"], name).match(PODS), "what is false decides"
    assert (counted("evaluation_errors_total", name), counted("exclusions_total", name)) == (3, 1)
    assert MatchConditions(["true"], name).match(PODS)
    assert counted("evaluation_seconds_count", name) == 4


def test_an_expression_is_bounded() -> None:
    endless = "[1,2,3,4,5,6,7,8,9,10]"
    for name in "abcdefgh":
        endless = f"[1,2,3,4,5,6,7,8,9,10].map({name}, {endless})"
    with pytest.raises(ConditionError, match="cost limit exceeded"):
        MatchConditions([f"{endless}.size() > 0"], "bounded").match(PODS)
