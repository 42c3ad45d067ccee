"""Approved requests of the kubernetes.io signers become certificates (pkg/controller/certificates/signer)."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from apimachinery.api.catalogue import CERTIFICATESIGNINGREQUESTS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from controlplane.controllers.certificates import request as requests
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "certificatesigningrequest-signing-controller"
_BACKDATE, _SHORT, _LEAST = 300.0, 8 * 3600.0, 600.0  # seconds

_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_ALL_USAGES = sorted(set(_KEY_USAGES.values()))
_PURPOSES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class SigningAuthority:
    """An authority of two files, which are read for every certificate, so that a renewed one counts at once."""

    def __init__(self, cert: Path, key: Path, duration: float) -> None:
        self._cert, self._key, self._duration = cert, key, duration

    def issue(
        self,
        request: x509.CertificateSigningRequest,
        usages: Iterable[str],
        seconds: int | None,
        now: datetime.datetime,
    ) -> bytes:
        """The certificate, PEM. seconds: the validity asked for. Raises OSError and ValueError for the files."""
        cert = x509.load_pem_x509_certificate(self._cert.read_bytes())
        key = serialization.load_pem_private_key(self._key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError(f"{self._key}: neither an RSA nor an elliptic curve key")
        lifetime = self.lifetime(seconds)
        begins = now - datetime.timedelta(seconds=_BACKDATE)
        # A short life is counted from the backdated start, so that it is not longer than asked for.
        ends = (begins if lifetime < _SHORT else now) + datetime.timedelta(seconds=lifetime)
        asked = set(usages)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject := requests.subject(request))
            .issuer_name(cert.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(min(ends, cert.not_valid_after_utc))
        )
        if (usage := _key_usage(asked)) is not None:
            builder = builder.add_extension(usage, critical=True)
        purposes = [_PURPOSES[usage] for usage in sorted(asked) if usage in _PURPOSES]
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_authority_key(cert), critical=False)
        if (names := requests.alternative_names(request)) is not None:
            builder = builder.add_extension(names, critical=not subject.rdns)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def lifetime(self, seconds: int | None) -> float:
        """Seconds a certificate lives for which `seconds` were asked."""
        return self._duration if seconds is None else min(max(seconds, _LEAST), self._duration)


class CertificateSigner:
    """Reconciles requests by name, for those of the four signers that have an authority."""

    name = NAME

    def __init__(self, context: Context) -> None:
        config = context.config
        self._authorities = {
            signer: SigningAuthority(*files, config.signing_duration) for signer, files in config.signing.items()
        }
        self._client, self._clock = context.client, context.clock
        informer = context.informer(CERTIFICATESIGNINGREQUESTS)
        self._requests = informer.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        informer.add_handler(lambda csr: self._queue.add(objects.name(csr)))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Issue the certificate, or say why not."""
        csr = self._requests.get(key)
        if not requests.unanswered(csr) or not requests.condition(csr, "Approved"):
            return None
        if requests.condition(csr, "Failed") or not self.signs_for(csr["spec"].get("signerName", "")):
            return None
        await requests.answer(self._client, self.answered(csr), "status")
        return None

    def signs_for(self, signer: str) -> bool:
        """Whether there is an authority for that signer."""
        return signer in self._authorities

    def answered(self, csr: Object) -> Object:
        """The request with its certificate, or with why there is none."""
        spec, request = csr["spec"], requests.parse(csr)
        usages = spec.get("usages") or ()
        try:
            requests.check(spec["signerName"], request, usages)
        except requests.RefusedRequest as error:
            return requests.with_condition(csr, "Failed", "SignerValidationFailure", str(error))
        authority = self._authorities[spec["signerName"]]
        issued = authority.issue(request, usages, spec.get("expirationSeconds"), self._clock.now())
        return {**csr, "status": {**csr["status"], "certificate": base64.b64encode(issued).decode()}}


def _key_usage(usages: set[str]) -> x509.KeyUsage | None:
    """None for none: an extension without a bit is not valid."""
    asked = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if "key_agreement" not in asked:  # which these two say more about
        asked -= {"encipher_only", "decipher_only"}
    return x509.KeyUsage(**{usage: usage in asked for usage in _ALL_USAGES}) if asked else None


def _authority_key(cert: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        held = cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(held)
    except x509.ExtensionNotFound:
        key = cert.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
