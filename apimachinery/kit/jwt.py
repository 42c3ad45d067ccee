"""Signing JSON Web Tokens (RFC 7515, RFC 7519) with the keys that Kubernetes knows: ES256, ES384, ES512, RS256."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CURVES: dict[str, tuple[str, hashes.HashAlgorithm, int]] = {
    "secp256r1": ("ES256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", hashes.SHA384(), 48),
    "secp521r1": ("ES512", hashes.SHA512(), 66),
}
"""Curve → its algorithm, digest and the bytes of one number."""


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The reverse. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_id(key: PublicKey) -> str:
    """Kubernetes' key ID: the SHA-256 of the PKIX form."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encode(hashlib.sha256(der).digest())


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
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else CURVES[key.curve.name][0]
        self._header = encode(orjson.dumps({"alg": algorithm, "kid": key_id(key.public_key())}))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The compact form of the token."""
        signed = f"{self._header}.{encode(orjson.dumps(claims))}"
        if isinstance(self._key, rsa.RSAPrivateKey):
            signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            _, digest, width = CURVES[self._key.curve.name]
            r, s = utils.decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(digest)))
            signature = r.to_bytes(width, "big") + s.to_bytes(width, "big")
        return f"{signed}.{encode(signature)}"
