"""Client certificates: the common name is the user, each organization a group.

TLS says whether the chain holds, but does not refuse one that does not (`front/handshake.py`), so that a certificate of
a foreign authority, or an expired one, is answered with 401. Validity is looked at again: connections outlive it.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from controlplane.apiserver.authn.user import User, authenticated

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

_Name = tuple[tuple[tuple[str, str], ...], ...]


class Peer(Struct, frozen=True):
    """The certificate that a client showed. verified: whether its chain ends at one of our authorities.

    user: whom it names; None without a common name. Times are seconds since the epoch.
    """

    verified: bool
    common_name: str
    issuer: str
    not_before: int
    not_after: int
    user: User | None

    def is_valid(self, now: float) -> bool:
        """Whether it proves anything at that time."""
        return self.verified and self.not_before <= now <= self.not_after


def peer(cert: Mapping[str, Any], der: bytes, *, verified: bool) -> Peer:
    """What ssl's getpeercert tells, as a dict and as bytes (KEP-4193 names the credential by their hash)."""
    words = _words(cert.get("subject", ()))
    name = _common_name(words)
    groups = tuple(value for key, value in words if key == "organizationName")
    extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    return Peer(
        verified,
        name,
        _common_name(_words(cert.get("issuer", ()))),
        ssl.cert_time_to_seconds(cert["notBefore"]),
        ssl.cert_time_to_seconds(cert["notAfter"]),
        authenticated(name, groups, extra=extra) if name else None,
    )


def common_name(authority: Path) -> str:
    """Of the first certificate in a PEM file of authorities; "" when it has none. ssl reads it, which is loaded anyway:
    cryptography's X.509 takes 20 ms of a start. Raises OSError, ssl.SSLError."""
    first, end, _ = authority.read_text().partition("-----END CERTIFICATE-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(cadata=first + end)
    certs: list[dict[str, Any]] = context.get_ca_certs()
    words = [word for cert in certs for word in _words(cert.get("subject", ()))]
    return _common_name(words)


def _words(name: _Name) -> list[tuple[str, str]]:
    return [word for relative in name for word in relative]


def _common_name(words: list[tuple[str, str]]) -> str:
    """Of several the last counts, as for Go."""
    return next((value for key, value in reversed(words) if key == "commonName"), "")
