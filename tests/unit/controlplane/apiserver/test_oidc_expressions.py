"""Users made and judged by expressions."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.authn.oidc.configuration import (
    ClaimRule,
    ExtraMapping,
    Issuer,
    JWTAuthenticator,
    Mapping,
    UserRule,
)
from controlplane.apiserver.authn.oidc.mapping import user_of
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User

CLAIMS = {
    "sub": "7",
    "name": "jane",
    "roles": ["devs", "", "ops"],
    "nothing": None,
    "count": 3,
    "nested": {"deep": [{"x": "y"}]},
    "jti": "42",
}


def made(
    username: str = "claims.name", groups: str = "", uid: str = "", extra: str = "", rules: Any = (), users: Any = ()
) -> User:
    provider = JWTAuthenticator(
        Issuer("https://a.example", ("x",)),
        Mapping(expression=username),
        Mapping(expression=groups),
        Mapping(expression=uid),
        (ExtraMapping("example.org/x", extra),) if extra else (),
        tuple(rules),
        tuple(users),
    )
    return user_of(provider, CLAIMS)


def test_the_user() -> None:
    found = made("'oidc:' + claims.name", "claims.roles.map(r, 'g:' + r)", "claims.sub", "claims.nested.deep[0].x")
    assert (found.name, found.uid) == ("oidc:jane", "7")
    assert found.groups == ("g:devs", "g:", "g:ops", "system:authenticated")
    assert found.extra == {"example.org/x": ("y",), "authentication.kubernetes.io/credential-id": ("JTI=42",)}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("claims.roles", ("devs", "ops")),
        ("claims.name", ("jane",)),
        ("''", ()),
        ("[]", ()),
        ("['']", ()),
        ("claims.nothing", ()),
        ("claims.?missing.orValue([])", ()),
    ],
)
def test_strings(expression: str, words: tuple[str, ...]) -> None:
    assert made(groups=expression).groups == (*words, "system:authenticated")
    assert made(extra=expression).extra.get("example.org/x", ()) == words


NO_STRINGS = "expression must return a string or a list of strings"
NO_KEY = "expression 'claims.missing' resulted in error: no such key: missing"


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"username": "claims.missing"}, f"oidc: error evaluating username claim expression: {NO_KEY}"),
        (
            {"username": "claims.count"},
            "oidc: error evaluating username claim expression: username claim expression must return a string",
        ),
        ({"username": "''"}, "oidc: empty username via CEL expression is not allowed"),
        ({"groups": "claims.missing"}, f"oidc: error evaluating group claim expression: {NO_KEY}"),
        ({"groups": "claims.count"}, f"oidc: error evaluating group claim expression: {NO_STRINGS}"),
        ({"groups": "['a', claims.count]"}, f"oidc: error evaluating group claim expression: {NO_STRINGS}"),
        ({"uid": "claims.missing"}, f"oidc: error evaluating uid claim expression: {NO_KEY}"),
        (
            {"uid": "claims.count"},
            "oidc: error evaluating uid claim expression: uid claim expression must return a string",
        ),
        ({"extra": "claims.missing"}, NO_KEY),
        ({"extra": "claims.nested"}, f"oidc: error evaluating extra claim expression: claims.nested: {NO_STRINGS}"),
        (
            {"rules": [ClaimRule(expression="claims.count < 3", message="too many")]},
            "oidc: error evaluating claim validation expression: validation expression 'claims.count < 3' failed: too "
            "many",
        ),
        (
            {"rules": [ClaimRule(expression="claims.missing == 1")]},
            "oidc: error evaluating claim validation expression: expression 'claims.missing == 1' resulted in error: "
            "no such key: missing",
        ),
        (
            {"users": [UserRule("!user.username.startsWith('j')", "no j")]},
            "oidc: error evaluating user info validation rule: validation expression '!user.username.startsWith('j')' "
            "failed: no j",
        ),
    ],
)
def test_users_that_are_none(about: dict[str, Any], why: str) -> None:
    with pytest.raises(TokenError) as wrong:
        made(**about)
    assert str(wrong.value) == why


def test_rules_that_hold() -> None:
    rules = [ClaimRule(expression="claims.count == 3"), ClaimRule("sub", "7")]
    users = [
        UserRule("user.groups == ['devs', 'ops'] && user.uid == '7'"),
        UserRule("user.extra['example.org/x'] == ['jane'] && size(user.extra) == 2"),
    ]
    assert made(groups="claims.roles", uid="claims.sub", extra="claims.name", rules=rules, users=users).name == "jane"
    provider = JWTAuthenticator(Issuer("https://a.example"), Mapping("sub", ""), uid=Mapping("name"))
    assert user_of(provider, CLAIMS).uid == "jane"
    missing = JWTAuthenticator(Issuer("https://a.example"), Mapping("sub", ""), uid=Mapping("x"))
    with pytest.raises(TokenError, match='oidc: parse uid claim "x": claim not present'):
        user_of(missing, CLAIMS)
