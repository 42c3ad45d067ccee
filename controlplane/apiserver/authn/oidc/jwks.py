"""A provider's public keys as it publishes them (RFC 7517, RFC 7518 section 6). Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct

from apimachinery.kit.jwt import PublicKey, decode, verifies

log = logging.getLogger(__name__)

_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
MAX_KEYS = 1000


class Key(Struct, frozen=True):
    """id: "" for a key without one."""

    id: str
    key: PublicKey


def read(document: Any) -> tuple[Key, ...]:
    """The keys of a JSON Web Key Set. One that is of another kind, or wrong, is passed over. Raises ValueError for what
    is no set."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no list of keys")
    if len(listed) > MAX_KEYS:
        raise ValueError(f"more than {MAX_KEYS} keys")
    found = []
    for each in listed:
        try:
            found.append(Key(str(each.get("kid") or ""), _key(each)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.info("a key of a provider is passed over: %s", error)
    return tuple(found)


def any_verifies(keys: Iterable[Key], header: Mapping[str, Any], signed: bytes, signature: bytes) -> bool:
    """Whether one of the keys made the signature: the one that the header names, or any when it names none."""
    named = header.get("kid") or ""
    return any(
        verifies(each.key, header.get("alg"), signed, signature) for each in keys if not named or each.id == named
    )


def seconds_to_keep(headers: Mapping[str, str], now: float) -> float:
    """How long an answer with these headers may be kept without asking again (RFC 9111, as a shared cache); 0 when they
    say nothing."""
    told: dict[str, str] = {}
    for word in headers.get("Cache-Control", "").lower().split(","):
        name, _, value = word.strip().partition("=")
        told[name] = value.strip('"')
    if told.keys() & {"no-store", "no-cache", "private"}:
        return 0.0
    for name in ("s-maxage", "max-age"):
        if name in told:
            return float(told[name]) if told[name].isdecimal() else 0.0
    try:
        return max(0.0, parsedate_to_datetime(headers["Expires"]).timestamp() - now)
    except (KeyError, ValueError, TypeError):
        return 0.0


def _key(jwk: Mapping[str, Any]) -> PublicKey:
    kind = jwk["kty"]
    if kind == "RSA":
        return rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
    if kind == "EC":
        return ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), _CURVES[jwk["crv"]]).public_key()
    raise ValueError(f"unknown json web key type {kind!r}")


def _number(text: str) -> int:
    return int.from_bytes(decode(text), "big")
