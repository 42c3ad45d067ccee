"""JSON Web Tokens (RFC 7515, RFC 7519): signed with the keys that Kubernetes knows (ES256, ES384, ES512, RS256), and
verified with any of RFC 7518's asymmetric algorithms."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
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
_DIGESTS: dict[str, type[hashes.HashAlgorithm]] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
ALGORITHMS = tuple(f"{family}{bits}" for family in ("ES", "PS", "RS") for bits in _DIGESTS)
"""Those that `verifies` knows, sorted."""
_ENCODED = re.compile(r"[A-Za-z0-9_-]*")


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The reverse. Raises ValueError, for padding too."""
    if not _ENCODED.fullmatch(text):
        raise ValueError("illegal base64 data")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verifies(key: PublicKey, algorithm: object, signed: bytes, signature: bytes) -> bool:
    """Whether `signature` (as a token has it, RFC 7518 section 3) of `signed` was made with that key and algorithm. An
    elliptic key has one algorithm, that of its curve; an RSA key six."""
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            family, digest = algorithm[:2], _DIGESTS[algorithm[2:]]()
            if family == "ES":
                return False
            # RFC 7518, section 3.5: the salt is as long as the digest.
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            key.verify(signature, signed, pss if family == "PS" else padding.PKCS1v15(), digest)
            return True
        name, digest, width = CURVES[key.curve.name]
        if algorithm != name or len(signature) != 2 * width:
            return False
        r, s = int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big")
        key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        return True
    except InvalidSignature:
        return False


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
