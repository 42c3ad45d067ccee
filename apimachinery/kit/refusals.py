"""Why a certificate is refused, in the words of Go's crypto/x509, which are what people look for."""

from __future__ import annotations

import ipaddress
import ssl
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_DER = 2  # _ssl.ENCODING_DER
INCOMPATIBLE = 26
"""OpenSSL's X509_V_ERR_INVALID_PURPOSE."""
_UNKNOWN = "certificate signed by unknown authority"


class Refused(ssl.SSLCertVerificationError):
    """The server's certificate does not do. words: what Go says of it."""

    def __init__(self, error: ssl.SSLCertVerificationError, words: str) -> None:
        super().__init__(*error.args)
        self.reason, self.library = error.reason, error.library
        self.verify_code, self.verify_message = error.verify_code, error.verify_message
        self.words = f"tls: failed to verify certificate: x509: {words}"


class Checked(ssl.SSLObject):
    """A client's end of a connection: the ssl module tells why a handshake failed, but not what the server showed."""

    def do_handshake(self) -> None:
        """Raises Refused."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise Refused(error, self._words(error)) from error

    def _words(self, error: ssl.SSLCertVerificationError) -> str:
        inner: Any = getattr(self, "_sslobj")  # noqa: B009 (the stubs do not have it)
        shown = [each.public_bytes(_DER) for each in inner.get_unverified_chain() or ()]
        name = (self.server_hostname or "") if self.context.check_hostname else ""
        trusted = self.context.get_ca_certs(binary_form=True)
        return refusal(shown, trusted, name, error.verify_code, datetime.now(UTC))


def refusal(shown: Sequence[bytes], trusted: Iterable[bytes], name: str, code: int, now: datetime) -> str:
    """What is wrong first, in Go's order: the time, the name, who signed.

    shown: the server's chain, trusted: our authorities, as DER. name: whom we dialled, "" for whomever.
    code: what OpenSSL found.
    """
    from cryptography import x509  # seven megabytes, for whoever is refused

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of a machine's authorities are older than today's rules
            leaf, *others = [x509.load_der_x509_certificate(each) for each in shown]
            authorities = others + [x509.load_der_x509_certificate(each) for each in trusted]
    except ValueError:
        return _UNKNOWN
    if found := _untimely(leaf, now) or (_misnamed(leaf, name) if name else ""):
        return found
    if code == INCOMPATIBLE:
        return "certificate specifies an incompatible key usage"
    return _unsigned(leaf, authorities, now)


def bad_signature(key: object) -> str:
    """What Go says of a signature that is not this key's."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ec.EllipticCurvePublicKey):
        return "x509: ECDSA verification failure"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "x509: Ed25519 verification failure"
    return "crypto/rsa: verification error"


def _untimely(certificate: Certificate, now: datetime) -> str:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins <= now <= ends:
        return ""
    side, limit = ("after", ends) if now > ends else ("before", begins)
    told = f"current time {_rfc3339(now.astimezone())} is {side} {_rfc3339(limit)}"
    return f"certificate has expired or is not yet valid: {told}"


def _rfc3339(time: datetime) -> str:
    text = time.isoformat(timespec="seconds")
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _misnamed(leaf: Certificate, name: str) -> str:
    """Go's HostnameError, or ""."""
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        names = x509.SubjectAlternativeName([])
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        texts = names.get_values_for_type(x509.DNSName)
        if any(_matches(each, name) for each in texts):
            return ""
    else:
        addresses = names.get_values_for_type(x509.IPAddress)
        if address in addresses:
            return ""
        if not addresses:
            return f"cannot validate certificate for {name} because it doesn't contain any IP SANs"
        texts = [str(each) for each in addresses]
    if not texts:
        return f"certificate is not valid for any names, but wanted to match {name}"
    return f"certificate is valid for {', '.join(texts)}, not {name}"


def _matches(pattern: str, name: str) -> bool:
    """A `*` stands for the first label."""
    wanted, have = pattern.lower().split("."), name.lower().removesuffix(".").split(".")
    return len(wanted) == len(have) and wanted[1:] == have[1:] and wanted[0] in ("*", have[0])


def _unsigned(leaf: Certificate, authorities: Iterable[Certificate], now: datetime) -> str:
    """Go's UnknownAuthorityError, with the authority that has the name but not the key; or an authority's end."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    hint = late = ""
    for authority in authorities:
        if authority.subject != leaf.issuer:
            continue
        try:
            leaf.verify_directly_issued_by(authority)
        except InvalidSignature:
            why = bad_signature(authority.public_key())
            hint = hint or (
                f' (possibly because of "{why}" while trying to verify candidate authority certificate'
                f' "{_called(authority)}")'
            )
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        else:
            late = late or _untimely(authority, now)
    return late or f"{_UNKNOWN}{hint}"


def _called(authority: Certificate) -> str:
    for oid in ("2.5.4.3", "2.5.4.10"):  # common name, organization
        if found := [str(each.value) for each in authority.subject if each.oid.dotted_string == oid]:
            return found[0]
    return f"serial:{authority.serial_number}"
