"""The token issuer's public documents: OIDC discovery and its keys (KEP-1393)."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from apimachinery.kit.jwt import PublicKey
from controlplane.apiserver.authn.tokens import Verifier

Document = dict[str, Any]

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
_CURVES = {
    "secp256r1": ("P-256", "ES256", 32),
    "secp384r1": ("P-384", "ES384", 48),
    "secp521r1": ("P-521", "ES512", 66),
}


class Issuer:
    """Serves the two documents, as the keys are now. keys_uri: where people find the keys."""

    def __init__(self, issuer: str, keys_uri: str, verifier: Verifier) -> None:
        self._issuer, self._keys_uri, self._verifier = issuer, keys_uri, verifier

    def document(self, path: str) -> tuple[Document, str] | None:
        """The document under `path` with its media type, or None."""
        if path not in (CONFIGURATION, KEYS):
            return None
        keys = [_jwk(identity, key) for identity, key in self._verifier.keys.items()]
        if path == KEYS:
            return {"keys": keys}, "application/jwk-set+json"
        found: Document = {
            "issuer": self._issuer,
            "jwks_uri": self._keys_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key["alg"] for key in keys}),
        }
        return found, "application/json"


def keys_uri(host: str, port: int) -> str:
    """Where a server serves its keys. host: may say the port already."""
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    if urlsplit(f"//{host}").port is None:
        host = f"{host}:{port}"
    return f"https://{host}{KEYS}"


def _jwk(identity: str, key: PublicKey) -> dict[str, str]:
    common = {"use": "sig", "kid": identity}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {**common, "kty": "RSA", "alg": "RS256", "n": _number(numbers.n), "e": _number(numbers.e)}
    name, algorithm, width = _CURVES[key.curve.name]
    point = key.public_numbers()
    return {
        **common,
        "kty": "EC",
        "alg": algorithm,
        "crv": name,
        "x": _number(point.x, width),
        "y": _number(point.y, width),
    }


def _number(value: int, width: int = 0) -> str:
    length = width or (value.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()
