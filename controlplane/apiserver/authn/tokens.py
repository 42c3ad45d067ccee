"""Verifying the JSON Web Tokens of service accounts (RFC 7515, RFC 7519; ES256 and RS256).

Claims are those of KEP-1205 (bound service account tokens): `kubernetes.io` names the account and what it is bound to;
or those of the tokens that are kept in Secrets, which do not expire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apimachinery.kit.jwt import PublicKey, decode, key_id, verifies
from apimachinery.meta.go_print import quoted_all
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.authn.reloading import Reloading

LEGACY_ISSUER = "kubernetes/serviceaccount"
_LEEWAY = 60.0  # seconds


class TokenError(Exception):
    """The token proves nothing; the text says why, for the log and for who reviews it. reasons: one each way of reading
    it that failed."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(aggregate(reasons))
        self.reasons = reasons


def load_public_keys(path: Path) -> list[PublicKey]:
    """Public keys of a PEM file: any number of public keys, private keys and certificates. Raises ValueError naming
    the file."""
    blocks = [b"-----BEGIN " + block for block in path.read_bytes().split(b"-----BEGIN ")[1:]]
    keys = []
    for block in blocks:
        key: Any
        try:
            if b"PRIVATE KEY" in block:
                key = serialization.load_pem_private_key(block, None).public_key()
            elif b"CERTIFICATE" in block:
                from cryptography import x509  # 20 ms, and hardly anybody names a certificate here

                key = x509.load_pem_x509_certificate(block).public_key()
            elif b"EC PARAMETERS" in block:
                continue
            else:
                key = serialization.load_pem_public_key(block)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise ValueError(f"{path}: neither an RSA nor an elliptic curve key")
        keys.append(key)
    if not keys:
        raise ValueError(f"{path}: holds no key")
    return keys


class Verifier:
    """Verifies tokens of our issuers against their public keys."""

    def __init__(self, keys: Reloading[Mapping[str, PublicKey]], issuers: Sequence[str], audiences: Sequence[str]):
        self._keys, self.issuers, self.audiences = keys, tuple(issuers), tuple(audiences)

    @classmethod
    def load(cls, paths: Sequence[Path], issuers: Sequence[str], audiences: Sequence[str]) -> Verifier:
        """Keys are read again when their files change. Raises ValueError or OSError for a file that holds no key."""

        def read() -> Mapping[str, PublicKey]:
            return {key_id(key): key for path in paths for key in load_public_keys(path)}

        return cls(Reloading("service account keys", paths, read), issuers, audiences)

    @property
    def keys(self) -> Mapping[str, PublicKey]:
        """Key ID → key, as the files hold them now."""
        return self._keys.value

    def is_ours(self, token: str) -> bool:
        """Whether the token says it comes from one of our issuers (unverified): others are not ours to judge."""
        try:
            issuer = orjson.loads(decode(token.split(".")[1]))["iss"]
        except (IndexError, KeyError, TypeError, ValueError):
            return False
        return issuer == LEGACY_ISSUER or issuer in self.issuers

    def verify(self, token: str, now: float, audiences: Sequence[str] | None = None) -> dict[str, Any]:
        """The claims of a valid token. now: seconds since the epoch. Raises TokenError."""
        try:
            head, body, tail = token.split(".")
            header, claims, signature = orjson.loads(decode(head)), orjson.loads(decode(body)), decode(tail)
        except ValueError as error:
            raise TokenError(f"not a token: {error}") from None
        if not isinstance(header, dict) or not isinstance(claims, dict) or not self.is_ours(token):
            raise TokenError("not a token of this issuer")
        keys = self.keys
        named_key = keys.get(str(header.get("kid")))
        candidates = [named_key] if named_key is not None else list(keys.values())
        if not any(_verifies(key, header.get("alg"), f"{head}.{body}".encode(), signature) for key in candidates):
            raise TokenError("invalid signature")
        if claims["iss"] == LEGACY_ISSUER:
            return claims
        named = claims.get("aud")
        named = [str(each) for each in named] if isinstance(named, list) else [str(named)] if named else []
        wanted = list(audiences or self.audiences)
        if not set(wanted).intersection(named):
            told = f"{quoted_all(named)} is invalid for the target audiences {quoted_all(wanted)}"
            raise TokenError(f"token audiences {told}")
        _check_times(claims, now)
        return claims


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    """Clocks may differ by a minute; a token that names no end has none. Raises TokenError."""
    starts, expires, issued = (
        each if isinstance(each := claims.get(field), int | float) else None for field in ("nbf", "exp", "iat")
    )
    if starts is not None and now + _LEEWAY < starts:
        raise TokenError("service account token is not valid yet")
    if expires is not None and now - _LEEWAY > expires:
        raise TokenError("service account token has expired")
    if issued is not None and now + _LEEWAY < issued:
        raise TokenError("service account token is issued in the future")


def _verifies(key: PublicKey, algorithm: object, signed: bytes, signature: bytes) -> bool:
    """With the algorithm that `kit.jwt.Signer` has for such a key, and no other."""
    return (algorithm == "RS256" or not isinstance(key, rsa.RSAPublicKey)) and verifies(
        key, algorithm, signed, signature
    )
