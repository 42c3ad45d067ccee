"""JSON Web Tokens of service accounts: signing and verifying (RFC 7515, RFC 7519; ES256 and RS256).

Claims are those of KEP-1205 (bound service account tokens): `kubernetes.io` names the account and what it is bound to.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_CURVES: dict[str, tuple[str, hashes.HashAlgorithm, int]] = {
    "secp256r1": ("ES256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", hashes.SHA384(), 48),
    "secp521r1": ("ES512", hashes.SHA512(), 66),
}


class TokenError(Exception):
    """The token proves nothing; the text says why, for the log."""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_id(key: PublicKey) -> str:
    """Upstream's key ID: the SHA-256 of the PKIX form."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _b64(hashlib.sha256(der).digest())


def load_public_keys(path: Path) -> list[PublicKey]:
    """Public keys of a PEM file: public, private or certificate. Raises ValueError naming the file."""
    data = path.read_bytes()
    try:
        key: Any
        if b"PRIVATE KEY" in data:
            key = serialization.load_pem_private_key(data, None).public_key()
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise ValueError(f"{path}: neither an RSA nor an elliptic curve key")
    return [key]


def load_private_key(path: Path) -> PrivateKey:
    """The private key of a PEM file. Raises ValueError naming the file."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError(f"{path}: neither an RSA nor an elliptic curve key")
    return key


class Signer:
    """Signs claims with one private key."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else _CURVES[key.curve.name][0]
        self._header = _b64(orjson.dumps({"alg": algorithm, "kid": key_id(key.public_key())}))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The compact form of the token."""
        signed = f"{self._header}.{_b64(orjson.dumps(claims))}"
        if isinstance(self._key, rsa.RSAPrivateKey):
            signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            _, digest, width = _CURVES[self._key.curve.name]
            r, s = utils.decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(digest)))
            signature = r.to_bytes(width, "big") + s.to_bytes(width, "big")
        return f"{signed}.{_b64(signature)}"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies tokens of one issuer against its public keys."""

    keys: Mapping[str, PublicKey]
    issuer: str
    audiences: Sequence[str]

    @classmethod
    def load(cls, paths: Sequence[Path], issuer: str, audiences: Sequence[str]) -> Verifier:
        """Raises ValueError or OSError for a file that holds no key."""
        keys = [key for path in paths for key in load_public_keys(path)]
        return cls({key_id(key): key for key in keys}, issuer, audiences)

    def is_ours(self, token: str) -> bool:
        """Whether the token says it comes from our issuer (unverified): others are not ours to judge."""
        try:
            return bool(orjson.loads(_unb64(token.split(".")[1]))["iss"] == self.issuer)
        except (IndexError, KeyError, TypeError, ValueError):
            return False

    def verify(self, token: str, now: float, audiences: Sequence[str] | None = None) -> dict[str, Any]:
        """The claims of a valid token. now: seconds since the epoch. Raises TokenError."""
        try:
            head, body, tail = token.split(".")
            header, claims, signature = orjson.loads(_unb64(head)), orjson.loads(_unb64(body)), _unb64(tail)
        except ValueError as error:
            raise TokenError(f"not a token: {error}") from None
        if not isinstance(header, dict) or not isinstance(claims, dict) or claims.get("iss") != self.issuer:
            raise TokenError("not a token of this issuer")
        named_key = self.keys.get(str(header.get("kid")))
        candidates = [named_key] if named_key is not None else list(self.keys.values())
        if not any(_verifies(key, header.get("alg"), f"{head}.{body}".encode(), signature) for key in candidates):
            raise TokenError("invalid signature")
        expires, starts = claims.get("exp"), claims.get("nbf")
        if not isinstance(expires, int | float) or now > expires:
            raise TokenError("token has expired")
        if isinstance(starts, int | float) and now < starts - 60:
            raise TokenError("token is not valid yet")
        named = claims.get("aud")
        named = [named] if isinstance(named, str) else named
        if not isinstance(named, list) or not set(named) & set(audiences or self.audiences):
            raise TokenError(f"token audiences {named!r} is invalid for the target audiences")
        return claims


def _verifies(key: PublicKey, algorithm: object, signed: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if algorithm != "RS256":
                return False
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            return True
        name, digest, width = _CURVES[key.curve.name]
        if algorithm != name or len(signature) != 2 * width:
            return False
        r, s = int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big")
        key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        return True
    except InvalidSignature:
        return False
