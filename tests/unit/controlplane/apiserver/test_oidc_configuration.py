"""The file of --authentication-config: what it says, and every problem with it in upstream's words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apimachinery.kit.certs import Authority
from apimachinery.kit.config import ConfigError
from controlplane.apiserver.authn.oidc.configuration import (
    Anonymous,
    AuthenticationConfiguration,
    ClaimRule,
    ExtraMapping,
    Issuer,
    JWTAuthenticator,
    Mapping,
    UserRule,
)
from controlplane.apiserver.authn.oidc.document import read
from controlplane.apiserver.authn.oidc.validation import validate

HEAD = "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\n"
VERIFIED = (
    "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression "
    "or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
)
OVERLAP = "URL must not overlap with disallowed issuers"
NOT_BESIDE = "can't be set when expression is set"
DOMAIN = 'must be a domain-prefixed path (such as "acme.io/foo")'
UNDECLARED = "compilation failed: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo.bar\n | ^"
CA = Authority.create("providers").pair.cert_pem.decode()


def test_a_file() -> None:
    found = read(
        b"""
apiVersion: apiserver.config.k8s.io/v1alpha1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: https://a.example
    discoveryURL: https://b.example/d
    certificateAuthority: PEM
    audiences: [x, "y"]
    audienceMatchPolicy: MatchAny
  claimValidationRules:
  - {claim: hd, requiredValue: example.org}
  - {expression: "claims.n < 3", message: too many}
  claimMappings:
    username: {claim: sub, prefix: ""}
    groups: {expression: claims.roles}
    uid: {claim: sub}
    extra: [{key: example.org/x, valueExpression: claims.x}]
  userValidationRules: [{expression: "user.username != 'root'", message: no root}]
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}]
"""
    )
    assert found == AuthenticationConfiguration(
        (
            JWTAuthenticator(
                Issuer("https://a.example", ("x", "y"), "https://b.example/d", "PEM", "MatchAny"),
                Mapping("sub", ""),
                Mapping(expression="claims.roles"),
                Mapping("sub"),
                (ExtraMapping("example.org/x", "claims.x"),),
                (ClaimRule("hd", "example.org"), ClaimRule(expression="claims.n < 3", message="too many")),
                (UserRule("user.username != 'root'", "no root"),),
            ),
        ),
        Anonymous(True, ("/livez", "/readyz")),
    )
    assert read(HEAD.encode()) == AuthenticationConfiguration()
    assert read(f"{HEAD}jwt: null\nanonymous: {{}}\n".encode()) == AuthenticationConfiguration((), Anonymous())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty config data"),
        (
            "kind: AuthenticationConfiguration\n",
            "Object 'apiVersion' is missing in 'kind: AuthenticationConfiguration\n'",
        ),
        ("apiVersion: v1\n", "Object 'Kind' is missing in 'apiVersion: v1\n'"),
        ("- a\n", "json: cannot unmarshal array into Go value of type AuthenticationConfiguration"),
        (
            f"{HEAD}anonymous: {{enabled: x}}\n",
            "json: cannot unmarshal string into Go struct field AnonymousAuthConfig.anonymous.enabled of type bool",
        ),
        (
            HEAD.replace("v1beta1", "v1"),
            'no kind "AuthenticationConfiguration" is registered for version "apiserver.config.k8s.io/v1"',
        ),
        (
            f"{HEAD}jwt:\n- issuer: {{url: a, egressSelectorType: cluster}}\n  more: 1\n",
            'strict decoding error: unknown field "jwt[0].issuer.egressSelectorType", unknown field "jwt[0].more"',
        ),
        (
            f"{HEAD}anonymous: {{}}\nanonymous: {{}}\n",
            'strict decoding error: yaml: unmarshal errors:\n  line 4: key "anonymous" already set in map',
        ),
        (
            f"{HEAD}jwt: {{}}\n",
            "json: cannot unmarshal object into Go struct field AuthenticationConfiguration.jwt of type "
            "[]v1beta1.JWTAuthenticator",
        ),
        (
            f"{HEAD}jwt: [{{issuer: {{audiences: x}}}}]\n",
            "json: cannot unmarshal string into Go struct field Issuer.jwt.issuer.audiences of type []string",
        ),
    ],
)
def test_what_cannot_be_read(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        read(text.encode())
    assert str(wrong.value) == why


USUAL = {
    "issuer": {"url": "https://a.example", "audiences": ["x"]},
    "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
}


def problems(*providers: Any, own: tuple[str, ...] = (), **more: Any) -> list[str]:
    document = {"apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "AuthenticationConfiguration"}
    said = read(orjson.dumps({**document, "jwt": providers, **more}))
    return [str(each).removeprefix("jwt[0].") for each in validate(said, own)]


def about(**changes: Any) -> Any:
    """A provider; changes: members of it instead of the usual ones."""
    return {**USUAL, **changes}


def issuer(**changes: Any) -> Any:
    return about(issuer={**USUAL["issuer"], **changes})


def maps(**changes: Any) -> Any:
    return about(claimMappings={**USUAL["claimMappings"], **changes})


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        (about(), []),
        (issuer(url="", certificateAuthority=CA), ["issuer.url: Required value: URL is required"]),
        (
            issuer(url="https://a:x"),
            ['issuer.url: Invalid value: "https://a:x": parse "https://a:x": invalid port ":x" after host'],
        ),
        (
            issuer(url="https://own"),
            [f'issuer.url: Invalid value: "https://own": {OVERLAP}: [https://own us]'],
        ),
        (
            issuer(discoveryURL="https://a.example/"),
            ['issuer.discoveryURL: Invalid value: "https://a.example/": discoveryURL must be different from URL'],
        ),
        (
            issuer(discoveryURL="http://a.example"),
            ['issuer.discoveryURL: Invalid value: "http://a.example": URL scheme must be https'],
        ),
        (issuer(audiences=[]), ["issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required"]),
        (
            issuer(audiences=["", "x", "x"]),
            [
                "issuer.audiences[0]: Required value: audience can't be empty",
                'issuer.audiences[2]: Duplicate value: "x"',
                'issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be MatchAny for multiple '
                "audiences",
            ],
        ),
        (
            issuer(audienceMatchPolicy="All"),
            [
                'issuer.audienceMatchPolicy: Invalid value: "All": audienceMatchPolicy must be empty or MatchAny for '
                "single audience"
            ],
        ),
        (
            issuer(certificateAuthority="x"),
            [
                'issuer.certificateAuthority: Invalid value: "<omitted>": data does not contain any valid RSA or ECDSA '
                "certificates"
            ],
        ),
        (
            about(
                claimValidationRules=[
                    {},
                    {"claim": "a", "expression": "b"},
                    {"claim": "c", "message": "m"},
                    {"claim": "c"},
                    {"expression": "claims.foo == 'bar'", "requiredValue": "v"},
                    {"expression": "claims.foo == 'bar'"},
                    {"expression": "claims.foo"},
                    {"expression": "foo.bar"},
                ]
            ),
            [
                "claimValidationRules[0]: Required value: claim or expression is required",
                'claimValidationRules[1]: Invalid value: "a": claim and expression can\'t both be set',
                'claimValidationRules[2].message: Invalid value: "m": message can\'t be set when claim is set',
                'claimValidationRules[3].claim: Duplicate value: "c"',
                f'claimValidationRules[4].requiredValue: Invalid value: "v": requiredValue {NOT_BESIDE}',
                "claimValidationRules[5].expression: Duplicate value: \"claims.foo == 'bar'\"",
                'claimValidationRules[6].expression: Invalid value: "claims.foo": must evaluate to bool',
                f'claimValidationRules[7].expression: Invalid value: "foo.bar": {UNDECLARED}',
            ],
        ),
        (
            maps(username={}, groups={"claim": "a", "expression": "b"}, uid={"claim": "a", "expression": "b"}),
            [
                "claimMappings.username: Required value: claim or expression is required",
                'claimMappings.groups: Invalid value: "": claim and expression can\'t both be set',
                'claimMappings.uid: Invalid value: "": claim and expression can\'t both be set',
            ],
        ),
        (
            maps(
                username={"claim": "sub"},
                groups={"expression": "claims.g", "prefix": "p"},
                uid={"expression": "foo.bar"},
            ),
            [
                "claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to "
                "an empty string to disable prefixing",
                f'claimMappings.groups.prefix: Invalid value: "p": prefix {NOT_BESIDE}',
                f'claimMappings.uid.expression: Invalid value: "foo.bar": {UNDECLARED}',
            ],
        ),
        (
            maps(
                extra=[
                    {"key": "", "valueExpression": "claims.x"},
                    {"key": "foo", "valueExpression": ""},
                    {"key": "example.org/Foo", "valueExpression": "foo.bar"},
                    {"key": "x.k8s.io/foo", "valueExpression": "claims.x"},
                    {"key": "x.k8s.io/foo", "valueExpression": "claims.x"},
                ]
            ),
            [
                "claimMappings.extra[0].key: Required value",
                f'claimMappings.extra[1].key: Invalid value: "foo": {DOMAIN}',
                "claimMappings.extra[1].valueExpression: Required value: valueExpression is required",
                'claimMappings.extra[2].key: Invalid value: "example.org/Foo": key must be lowercase',
                f'claimMappings.extra[2].valueExpression: Invalid value: "foo.bar": {UNDECLARED}',
                *(
                    f'claimMappings.extra[{at}].key: Invalid value: "x.k8s.io/foo": k8s.io, kubernetes.io and their '
                    "subdomains are reserved for Kubernetes use"
                    for at in (3, 4)
                ),
                'claimMappings.extra[4].key: Duplicate value: "x.k8s.io/foo"',
            ],
        ),
        (
            about(
                userValidationRules=[
                    {},
                    {"expression": "user.username == 'a'"},
                    {"expression": "user.username == 'a'"},
                    {"expression": "user.username"},
                    {"expression": "foo.bar"},
                    {"expression": "user.extra['example.org/x'][0] == 'a' && user.groups.all(g, g != user.uid)"},
                ]
            ),
            [
                "userValidationRules[0].expression: Required value: expression is required",
                "userValidationRules[2].expression: Duplicate value: \"user.username == 'a'\"",
                'userValidationRules[3].expression: Invalid value: "user.username": must evaluate to bool',
                f'userValidationRules[4].expression: Invalid value: "foo.bar": {UNDECLARED}',
            ],
        ),
    ],
)
def test_problems_of_a_provider(provider: Any, told: list[str]) -> None:
    assert problems(provider, own=("us", "https://own")) == told


@pytest.mark.parametrize(
    "text",
    [
        "claims.email",
        "claims.?email.orValue('')",
        "has(claims.email) ? 'a' : 'b'",
        "'x' + claims.email.lowerAscii()",
        "['a', claims.email][0]",
        "{'a': claims.email}['a']",
        "{claims.email: 'a'}['a']",
        "['a'].map(i, i + claims.email)[0]",
        "[claims.email].filter(i, i != '')[0]",
        "claims.?x.optMap(v, v + claims.email).orValue('a')",
    ],
)
def test_addresses_that_name_users_must_have_been_verified(text: str) -> None:
    unverified = [f"claimMappings.username.expression: Invalid value: {orjson.dumps(text).decode()}: {VERIFIED}"]
    named = maps(username={"expression": text})
    assert problems(named) == unverified
    assert (
        problems({**named, "claimValidationRules": [{"claim": "email_verified", "requiredValue": "true"}]})
        == unverified
    )
    rule = "claims.?email_verified.orValue(true)"
    assert problems({**named, "claimValidationRules": [{"expression": rule}]}) == [
        f'claimValidationRules[0].expression: Invalid value: "{rule}": must evaluate to bool',
        *unverified,
    ]
    assert problems({**named, "claimValidationRules": [{"expression": f"{rule} == true"}]}) == []
    extra = [{"key": "example.org/v", "valueExpression": "string(claims.email_verified)"}]
    assert problems(maps(username={"expression": text}, extra=extra)) == []
    assert problems(maps(username={"expression": f"claims.email_verified ? string({text}) : ''"})) == []


def test_problems_of_several() -> None:
    twice = issuer(discoveryURL="https://d.example")
    assert problems(twice, twice) == [
        'jwt[1].issuer.url: Duplicate value: "https://a.example"',
        'jwt[1].issuer.discoveryURL: Duplicate value: "https://d.example"',
    ]
    assert problems(*([about()] * 65)) == ["jwt: Too many: 65: must have at most 64 items"]
    assert problems(anonymous={"conditions": [{"path": "/livez"}]}) == [
        "anonymous.conditions: Invalid value: []apiserver.AnonymousAuthCondition{apiserver.AnonymousAuthCondition{Path:"
        '"/livez"}}: enabled should be set to true when conditions are defined'
    ]
