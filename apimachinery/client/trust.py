"""Whom a component's own port believes: what the API server publishes of its front proxy and of its users' authority.

Both authorities are named by the ConfigMap kube-system/extension-apiserver-authentication. TLS verifies a certificate
by either; which of them signed it is found here, since what follows from it differs (k8s.io/apiserver/pkg/
authentication/request/{headerrequest,x509}).
"""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from apimachinery.kit.handshake import accept_unverified

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

NO_PROOF = b""
"""Instead of a certificate that was shown and is of no authority."""
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True, slots=True)
class User:
    """Whoever asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        return (self.name, self.groups, self.uid, tuple(sorted(self.extra.items())))


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """Whom the API server's requests come from. names: allowed, every one when empty. Header names as sent."""

    ca: str
    names: tuple[str, ...]
    users: tuple[str, ...]
    groups: tuple[str, ...]
    extras: tuple[str, ...]

    @classmethod
    def read(cls, data: Mapping[str, str]) -> FrontProxy:
        """Raises KeyError or ValueError when the API server has no front proxy."""

        def listed(key: str) -> tuple[str, ...]:
            return tuple(json.loads(data.get(f"requestheader-{key}") or "[]"))

        return cls(
            data["requestheader-client-ca-file"],
            listed("allowed-names"),
            listed("username-headers"),
            listed("group-headers"),
            listed("extra-headers-prefix"),
        )

    def user(self, name: str, headers: CIMultiDictProxy[str]) -> User | None:
        """The user whom the front proxy names. name: the common name of a certificate verified by `ca`."""
        if self.names and name not in self.names:
            return None
        user = next((headers[header] for header in self.users if headers.get(header)), "")
        if not user:
            return None
        groups = tuple(text for header in self.groups for text in headers.getall(header, []))
        extra: dict[str, tuple[str, ...]] = {}
        for header in headers:
            for prefix in self.extras:
                if header.lower().startswith(prefix.lower()):
                    extra[unquote(header[len(prefix) :]).lower()] = tuple(headers.getall(header))
        return User(user, groups, "", extra)


@dataclass(frozen=True, slots=True)
class Trust:
    """The ConfigMap. front: None without a front proxy. client_ca: PEM of the users' authority; "" for none.

    A certificate counts for the authority whose key signed it, whatever it is called; so names that both authorities
    share confuse nothing. Where one authority is both, only a front proxy that is allowed by its name is one: a list
    that allows every name would make a front proxy of each user. An intermediate authority signs for nobody.
    """

    front: FrontProxy | None = None
    client_ca: str = ""

    @classmethod
    def read(cls, data: Mapping[str, str]) -> Trust:
        """Raises KeyError when neither authority is named, ValueError for what cannot be read."""
        client_ca = data.get("client-ca-file", "")
        front = FrontProxy.read(data) if data.get("requestheader-client-ca-file") or not client_ca else None
        return cls(front, client_ca)

    def ask_clients(self, context: ssl.SSLContext) -> None:
        """Let a server ask for certificates of either authority; others are for `is_verified` to find. Raises
        ssl.SSLError for what is no PEM."""
        for authority in (self.front.ca if self.front is not None else "", self.client_ca):
            if authority:
                context.load_verify_locations(cadata=authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        accept_unverified(context)

    def user(self, certificate: bytes, headers: CIMultiDictProxy[str], now: datetime) -> User | None:
        """Whom a request is from; None: nothing is proven. certificate: DER that TLS verified, or NO_PROOF."""
        if certificate == NO_PROOF:
            return None
        from cryptography import x509  # seven megabytes, for whoever shows a certificate

        try:
            shown = x509.load_der_x509_certificate(certificate)
            name, groups = _words(shown, "2.5.4.3")[:1], _words(shown, "2.5.4.10")
        except ValueError:  # OpenSSL takes more than this does
            return None
        if not shown.not_valid_before_utc <= now <= shown.not_valid_after_utc:
            return None
        client = _signed(shown, self.client_ca)
        if self.front is not None and _signed(shown, self.front.ca) and (self.front.names or not client):
            user = self.front.user("".join(name), headers)
            if user is not None:
                return user
        if not client or not name:
            return None
        extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(certificate).hexdigest()}",)}
        return User(name[0], tuple(groups), "", extra)


def _words(certificate: Certificate, oid: str) -> list[str]:
    return [str(each.value) for each in certificate.subject if each.oid.dotted_string == oid]


def _signed(certificate: Certificate, authorities: str) -> bool:
    """Whether one of the authorities (PEM) signed it."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    for authority in x509.load_pem_x509_certificates(authorities.encode()) if authorities else ():
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue  # another's name, another kind of key, another key
        return True
    return False
