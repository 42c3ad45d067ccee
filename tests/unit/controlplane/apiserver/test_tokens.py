"""Tokens: only what we signed, for us, and in time."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apimachinery.kit.jwt import Signer, key_id
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.authn.tokens import TokenError, Verifier

NOW = 1_700_000_000
KEYS = {"ES256": ec.generate_private_key(ec.SECP256R1()), "RS256": rsa.generate_private_key(65537, 2048)}


def claims(**changes):
    return {"iss": "https://us", "aud": ["https://us"], "exp": NOW + 60, "nbf": NOW, "sub": "x", **changes}


def verifier(*keys):
    known = {key_id(key.public_key()): key.public_key() for key in keys}
    return Verifier(Reloading("keys", [], lambda: known), ["https://us"], ["https://us"])


@pytest.mark.parametrize("algorithm", KEYS)
def test_what_was_signed_is_verified(algorithm):
    key = KEYS[algorithm]
    token = Signer(key).sign(claims())
    assert verifier(key).verify(token, NOW)["sub"] == "x"
    assert verifier(key).is_ours(token)


def test_one_of_several_keys():
    token = Signer(KEYS["ES256"]).sign(claims())
    assert verifier(KEYS["RS256"], KEYS["ES256"]).verify(token, NOW)["sub"] == "x"


@pytest.mark.parametrize(
    ("changes", "now", "why"),
    [
        ({}, NOW + 121, "^service account token has expired$"),
        ({"nbf": NOW + 61}, NOW, "^service account token is not valid yet$"),
        ({"iat": NOW + 61}, NOW, "^service account token is issued in the future$"),
        (
            {"aud": ["other", "one"], "exp": NOW - 600},
            NOW,
            r'^token audiences \["other" "one"\] is invalid for the target audiences \["https://us"\]$',
        ),
        ({"aud": []}, NOW, r"^token audiences \[\] is invalid"),
        ({"iss": "https://them"}, NOW, "issuer"),
    ],
)
def test_refused_claims(changes, now, why):
    token = Signer(KEYS["ES256"]).sign(claims(**changes))
    with pytest.raises(TokenError, match=why):
        verifier(KEYS["ES256"]).verify(token, now)


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({}, NOW + 120),
        ({"nbf": NOW + 60, "iat": NOW + 60}, NOW),
        ({"exp": None}, NOW + 10**9),
        ({"aud": "https://us"}, NOW),
    ],
)
def test_clocks_may_differ_by_a_minute(changes, now):
    token = Signer(KEYS["ES256"]).sign(claims(**changes))
    assert verifier(KEYS["ES256"]).verify(token, now)["sub"] == "x"


def test_a_foreign_signature():
    token = Signer(ec.generate_private_key(ec.SECP256R1())).sign(claims())
    with pytest.raises(TokenError, match="signature"):
        verifier(KEYS["ES256"]).verify(token, NOW)


def test_changed_claims():
    head, body, tail = Signer(KEYS["ES256"]).sign(claims()).split(".")
    changed = base64.urlsafe_b64decode(body + "==").replace(b'"sub":"x"', b'"sub":"y"')
    forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
    with pytest.raises(TokenError, match="signature"):
        verifier(KEYS["ES256"]).verify(f"{head}.{forged}.{tail}", NOW)


def test_no_algorithm_is_no_signature():
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = Signer(KEYS["ES256"]).sign(claims()).split(".")[1]
    with pytest.raises(TokenError, match="signature"):
        verifier(KEYS["ES256"]).verify(f"{head}.{body}.", NOW)


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "....", "\x00.\x00.\x00", "é.é.é"])
def test_what_is_no_token(token):
    assert not verifier(KEYS["ES256"]).is_ours(token)
    with pytest.raises(TokenError):
        verifier(KEYS["ES256"]).verify(token, NOW)
