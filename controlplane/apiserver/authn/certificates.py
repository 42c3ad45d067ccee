"""Client certificates: the common name is the user, each organization a group.

TLS says whether the chain holds, but does not refuse one that does not (`kit/handshake.py`), so that a certificate of
a foreign authority, or an expired one, is answered with 401. Validity is looked at again: connections outlive it.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from apimachinery.kit.refusals import INCOMPATIBLE, refusal
from apimachinery.kit.tls_files import load_authorities
from controlplane.apiserver.authn.user import User, authenticated

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

_Name = tuple[tuple[tuple[str, str], ...], ...]
Authorities = Mapping[str, frozenset[bytes]]
"""Certificates (DER) by the name that they issue under."""


class Peer(Struct, frozen=True):
    """The certificate that a client showed. verified: whether its chain ends at one of our authorities.

    issuer: its whole name, as `authorities` spells it. user: whom it names; None without a common name. Times are
    seconds since the epoch.
    """

    verified: bool
    common_name: str
    der: bytes
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
        der,
        _spelled(cert.get("issuer", ())),
        ssl.cert_time_to_seconds(cert["notBefore"]),
        ssl.cert_time_to_seconds(cert["notAfter"]),
        authenticated(name, groups, extra=extra) if name else None,
    )


def authorities(file: Path) -> Authorities:
    """Those of a PEM file. ssl reads it, which is loaded anyway: cryptography's X.509 takes 20 ms of a start. Raises
    TLSFileError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_authorities(context, file)
    known: dict[str, frozenset[bytes]] = {}
    certs: list[dict[str, Any]] = context.get_ca_certs()
    for cert, der in zip(certs, context.get_ca_certs(binary_form=True), strict=True):
        name = _spelled(cert.get("subject", ()))
        known[name] = known.get(name, frozenset()) | {der}
    return known


def issued_by(shown: Peer, these: Authorities, others: Authorities) -> bool:
    """Whether one of these authorities issued a certificate that one of both verified. Where both have one of the same
    name, the signature tells."""
    found = these.get(shown.issuer, frozenset())
    if not found or found >= others.get(shown.issuer, frozenset()):
        return bool(found)
    return _signed(shown.der, found)


def refused_because(shown: Peer, trusted: Authorities, now: datetime) -> str:
    """Why a certificate proves nothing, in upstream's words. trusted: the authorities of clients."""
    known = frozenset[bytes]().union(*trusted.values())
    code = INCOMPATIBLE if _signed(shown.der, known) else 0
    return f"verifying certificate {_identified(shown.der)} failed: x509: {refusal([shown.der], known, '', code, now)}"


@lru_cache(maxsize=64)
def _identified(certificate: bytes) -> str:
    from cryptography import x509
    from cryptography.x509.oid import ExtensionOID

    try:
        shown = x509.load_der_x509_certificate(certificate)
        held = {extension.oid: extension.value for extension in shown.extensions}
    except ValueError:  # what OpenSSL read and cryptography does not
        return "SN=0, SKID=, AKID="
    own, issuers = held.get(ExtensionOID.SUBJECT_KEY_IDENTIFIER), held.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    keys = (
        own.digest if isinstance(own, x509.SubjectKeyIdentifier) else b"",
        (issuers.key_identifier or b"") if isinstance(issuers, x509.AuthorityKeyIdentifier) else b"",
    )
    subject, authority = (key.hex(":").upper() for key in keys)
    return f"SN={shown.serial_number}, SKID={subject}, AKID={authority}"


@lru_cache(maxsize=256)  # asked with every request
def _signed(certificate: bytes, issuers: frozenset[bytes]) -> bool:
    from cryptography import x509  # which hardly any server needs here
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    for issuer in issuers:
        try:
            shown = x509.load_der_x509_certificate(certificate)
            shown.verify_directly_issued_by(x509.load_der_x509_certificate(issuer))
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue  # another kind of key, another key
        return True
    return False


def _spelled(name: _Name) -> str:
    return ",".join(f"{key}={value!r}" for key, value in _words(name))


def _words(name: _Name) -> list[tuple[str, str]]:
    return [word for relative in name for word in relative]


def _common_name(words: list[tuple[str, str]]) -> str:
    """Of several the last counts, as for Go."""
    return next((value for key, value in reversed(words) if key == "commonName"), "")
