"""What a provider's token says: whom it names, and what is refused in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.kit.jwt import ALGORITHMS
from controlplane.apiserver.authn.oidc import claims, jwks
from controlplane.apiserver.authn.oidc.configuration import ClaimRule, Issuer, JWTAuthenticator, Mapping
from controlplane.apiserver.authn.oidc.mapping import user_of
from controlplane.apiserver.authn.tokens import TokenError
from tests.openid import Key

NO_GROUPS = Mapping()
NOW = 1_700_000_000
URL = "https://issuer.example"
KEYS = {algorithm: Key(algorithm) for algorithm in ALGORITHMS}


def saying(**changes: Any) -> claims.Claims:
    usual = {"iss": URL, "aud": "kubernetes", "sub": "7", "exp": NOW + 60}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_key_has_signed_it_verifies_and_no_other(algorithm: str) -> None:
    key, other = KEYS[algorithm], Key(algorithm)
    token = claims.parse(key.sign(saying()))
    published = jwks.read({"keys": [other.public, {"kty": "oct", "k": "AAAA"}, {}, 7, key.public]})
    assert [each.id for each in published] == ["key", "key"]
    assert jwks.any_verifies(published, token.header, token.signed, token.signature)
    assert not jwks.any_verifies(published[:1], token.header, token.signed, token.signature)
    assert not jwks.any_verifies(published, {**token.header, "kid": "new"}, token.signed, token.signature)
    assert jwks.any_verifies(published, {"alg": algorithm}, token.signed, token.signature), "any key"
    for wrong in (*(each for each in ALGORITHMS if each != algorithm), "none", "HS256", None, ["RS256"]):
        assert not jwks.any_verifies(published, {"alg": wrong}, token.signed, token.signature)
    assert not jwks.any_verifies(published, token.header, token.signed, token.signature[:-1])


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": [{}] * 1001}])
def test_what_is_no_set_of_keys(document: Any) -> None:
    with pytest.raises(ValueError, match="keys"):
        jwks.read(document)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Cache-Control": "public, max-age=300"}, 300),
        ({"Cache-Control": "max-age=300, s-maxage=60"}, 60),
        ({"Cache-Control": "no-store, max-age=300"}, 0),
        ({"Cache-Control": "max-age=soon"}, 0),
        ({"Expires": "Tue, 14 Nov 2023 22:15:00 GMT"}, 100),
        ({"Expires": "Tue, 14 Nov 2023 22:10:00 GMT"}, 0),
        ({"Expires": "0"}, 0),
    ],
)
def test_how_long_keys_are_kept(headers: dict[str, str], seconds: int) -> None:
    assert jwks.seconds_to_keep(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"aud": ["other", "kubernetes"]}, ""),
        ({"exp": NOW}, ""),
        ({"nbf": NOW + 60}, ""),
        (
            {"iss": "https://else"},
            f'oidc: id token issued by a different provider, expected "{URL}" got "https://else"',
        ),
        ({"aud": "other"}, 'oidc: expected audience "kubernetes" got ["other"]'),
        ({"aud": None}, 'oidc: expected audience "kubernetes" got []'),
        ({"aud": 7}, "oidc: failed to unmarshal claims: json: cannot unmarshal number into Go value of type string"),
        ({"exp": NOW - 1}, "oidc: token is expired (Token Expiry: 2023-11-14 22:13:19 +0000 UTC)"),
        ({"exp": None}, "oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)"),
        ({"exp": -1e30}, "oidc: token is expired (Token Expiry: -1e+30)"),
        (
            {"nbf": NOW + 61},
            "oidc: current time 2023-11-14 22:13:20 +0000 UTC before the nbf (not before) time: "
            "2023-11-14 22:14:21 +0000 UTC",
        ),
    ],
)
def test_for_us_and_now(changes: dict[str, Any], why: str) -> None:
    token = claims.parse(KEYS["RS256"].sign(saying(**changes)))
    assert _refusal(lambda: claims.check(token, URL, ("kubernetes",), ("RS256",), NOW)) == why


SOURCES = {"a": {"endpoint": "https://e", "access_token": "t"}, "b": {}, "c": None}


@pytest.mark.parametrize(
    ("names", "sources", "why"),
    [
        ({"groups": "a"}, SOURCES, ""),
        (None, SOURCES, ""),
        ({"groups": "d"}, SOURCES, "oidc: source does not exist"),
        ({"groups": "a"}, None, "oidc: source does not exist"),
        ({"groups": ""}, SOURCES, "oidc: failed to obtain source from claim name"),
        (
            {"groups": 7},
            SOURCES,
            "oidc: failed to unmarshal claims: json: cannot unmarshal number into Go value of type ",
        ),
        ([], SOURCES, ""),
        ("x", SOURCES, "oidc: failed to unmarshal claims: json: cannot unmarshal string into Go value of type map"),
        ({}, {"a": []}, "oidc: failed to unmarshal claims: json: cannot unmarshal array into Go value of type "),
        ({}, {"a": {"endpoint": 7}}, "oidc: failed to unmarshal claims: json: cannot unmarshal number into Go value "),
    ],
)
def test_claims_that_are_told_elsewhere(names: Any, sources: Any, why: str) -> None:
    token = claims.parse(KEYS["RS256"].sign(saying(_claim_names=names, _claim_sources=sources)))
    told = _refusal(lambda: claims.check(token, URL, ("kubernetes",), ("RS256",), NOW))
    assert told.startswith(why) and bool(told) is bool(why)


@pytest.mark.parametrize(("source", "found"), [("a", ("https://e", "t")), ("b", None), ("c", None), (None, None)])
def test_where_a_claim_is_told(source: str | None, found: tuple[str, str] | None) -> None:
    names = {"groups": source} if source else {"roles": "a"}
    assert claims.source_of({"_claim_names": names, "_claim_sources": SOURCES}, "groups") == found
    assert claims.source_of({}, "groups") is None


def test_several_audiences_and_algorithms() -> None:
    token = claims.parse(KEYS["ES256"].sign(saying(aud="c")))
    assert _refusal(lambda: claims.check(token, URL, ("b", "a"), ("ES256",), NOW)) == (
        'oidc: expected audience in ["a" "b"] got ["c"]'
    )
    assert _refusal(lambda: claims.check(token, URL, ("b", "c"), ("RS256",), NOW)) == (
        'oidc: id token signed with unsupported algorithm, expected ["RS256"] got "ES256"'
    )


def test_googles_tokens_may_leave_the_scheme_out() -> None:
    google = "https://accounts.google.com"
    short = KEYS["RS256"].sign(saying(iss="accounts.google.com"))
    assert claims.issuer_of(short) == google
    claims.check(claims.parse(short), google, ("kubernetes",), ("RS256",), NOW)


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c.d", "a.b.c", "e30.e30=.AA", "e30.W10.AA", "W10.e30.AA", "e30.e30. "]
)
def test_what_is_no_token(text: str) -> None:
    assert claims.issuer_of(text) == ""
    assert _refusal(lambda: claims.parse(text)).startswith("oidc: malformed jwt: ")


def test_a_header_that_asks_for_more_than_is_understood() -> None:
    token = KEYS["RS256"].sign(saying(), crit=["exp"], exp=1)
    assert _refusal(lambda: claims.parse(token)) == "oidc: malformed jwt: unsupported crit header"


def user(said: claims.Claims, username: Mapping, groups: Mapping = NO_GROUPS, **required: str) -> Any:
    rules = tuple(ClaimRule(name, value) for name, value in required.items())
    return user_of(JWTAuthenticator(Issuer(URL, ("kubernetes",)), username, groups, claim_rules=rules), said)


def test_the_user() -> None:
    said = saying(groups=["devs", "ops"], jti="42", hd="example.org")
    found = user(said, Mapping("sub", f"{URL}#"), Mapping("groups", "oidc:"), hd="example.org")
    assert (found.name, found.groups) == (f"{URL}#7", ("oidc:devs", "oidc:ops", "system:authenticated"))
    assert found.extra == {"authentication.kubernetes.io/credential-id": ("JTI=42",)}
    assert user({**said, "groups": "devs"}, Mapping("sub", ""), Mapping("groups", "")).groups[0] == "devs"
    for none in (saying(), saying(groups=[]), {**said, "groups": None}):
        assert user(none, Mapping("sub", ""), Mapping("groups", "g:")).groups == ("system:authenticated",)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"email": "a@b"}, ""),
        ({"email": "a@b", "email_verified": True}, ""),
        ({"email": "a@b", "email_verified": False}, "oidc: email not verified"),
        (
            {"email": "a@b", "email_verified": "true"},
            "oidc: parse 'email_verified' claim: json: cannot unmarshal string into Go value of type bool",
        ),
        ({}, 'oidc: parse username claims "email": claim not present'),
        (
            {"email": ["a@b"]},
            'oidc: parse username claims "email": json: cannot unmarshal array into Go value of type string',
        ),
        (
            {"email": "a@b", "groups": {}},
            'oidc: parse groups claim "groups": json: cannot unmarshal object into Go value of type string',
        ),
        (
            {"email": "a@b", "groups": ["a", 7]},
            'oidc: parse groups claim "groups": json: cannot unmarshal array into Go value of type string',
        ),
        ({"email": "a@b", "hd": "else"}, "oidc: required claim hd value does not match. Got = else, want = b"),
        (
            {"email": "a@b", "hd": True},
            "oidc: parse claim hd: json: cannot unmarshal bool into Go value of type string",
        ),
    ],
)
def test_claims_that_name_nobody(said: dict[str, Any], why: str) -> None:
    required = {"hd": "b"} if "hd" in said else {}
    told = _refusal(lambda: user(said, Mapping("email", ""), Mapping("groups", ""), **required))
    assert told == why
    if not required and not why:
        missing = "oidc: required claim hd not present in ID token"
        assert _refusal(lambda: user(said, Mapping("email", ""), hd="b")) == missing


def _refusal(call: Any) -> str:
    try:
        call()
    except TokenError as error:
        return str(error)
    return ""
