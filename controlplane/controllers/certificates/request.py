"""What a CertificateSigningRequest asks for, and whether its signer may issue it (pkg/apis/certificates/helpers.go)."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, TypeGuard

from cryptography import x509

from apimachinery.api.catalogue import CERTIFICATESIGNINGREQUESTS
from apimachinery.client.rest import Client
from apimachinery.meta.status import ApiError, is_not_found

Object = dict[str, Any]

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNERS = (KUBELET_SERVING, KUBELET_CLIENT, CLIENT, LEGACY)

_NODE_PREFIX, _NODES = "system:node:", ["system:nodes"]
_OPTIONAL = {"digital signature", "key encipherment"}
_SANS: tuple[tuple[type[x509.GeneralName], str], ...] = (
    (x509.DNSName, "DNS"),
    (x509.RFC822Name, "Email"),
    (x509.IPAddress, "IP"),
    (x509.UniformResourceIdentifier, "URI"),
)

# The attributes of a subject, and whether one counts (crypto/x509/pkix: Name.ToRDNSequence).
_SUBJECT = (
    (x509.NameOID.COUNTRY_NAME, False),
    (x509.NameOID.ORGANIZATION_NAME, False),
    (x509.NameOID.ORGANIZATIONAL_UNIT_NAME, False),
    (x509.NameOID.LOCALITY_NAME, False),
    (x509.NameOID.STATE_OR_PROVINCE_NAME, False),
    (x509.NameOID.STREET_ADDRESS, False),
    (x509.NameOID.POSTAL_CODE, False),
    (x509.NameOID.COMMON_NAME, True),
    (x509.NameOID.SERIAL_NUMBER, True),
)


class RefusedRequest(ValueError):
    """The signer does not issue that; the text is the condition's message."""


def parse(csr: Object) -> x509.CertificateSigningRequest:
    """The PKCS #10 request. Raises ValueError."""
    return x509.load_pem_x509_csr(base64.b64decode(csr["spec"].get("request") or ""))


def condition(csr: Object, kind: str) -> Object | None:
    """The condition of that type, or None."""
    conditions = (csr.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), None)


def with_condition(csr: Object, kind: str, reason: str, message: str) -> Object:
    """A new object that has the condition as well. The server fills in the times."""
    added = {"type": kind, "status": "True", "reason": reason, "message": message}
    status = csr.get("status") or {}
    return {**csr, "status": {**status, "conditions": [*(status.get("conditions") or ()), added]}}


def unanswered(csr: Object | None) -> TypeGuard[Object]:
    """Tell whether a request is there that was neither denied nor given a certificate."""
    return csr is not None and not (csr.get("status") or {}).get("certificate") and condition(csr, "Denied") is None


async def answer(client: Client, csr: Object, subresource: str) -> None:
    """Write what the controllers say of a request, unless it has gone. subresource: approval or status."""
    try:
        await client.update(CERTIFICATESIGNINGREQUESTS, csr, subresource)
    except ApiError as error:
        if not is_not_found(error):
            raise


def words(name: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    """The values of one attribute of a name."""
    return [str(each.value) for each in name.get_attributes_for_oid(oid)]


def common_name(request: x509.CertificateSigningRequest) -> str:
    """The subject's common name, or "". Of several the last counts, as for Go, and so for who verifies."""
    return next(reversed(words(request.subject, x509.NameOID.COMMON_NAME)), "")


def subject(request: x509.CertificateSigningRequest) -> x509.Name:
    """The subject as it is certified: what Go knows of a name, in its order, with the last of several common names and
    serial numbers. Other attributes nobody has checked."""
    parts = []
    for oid, single in _SUBJECT:
        held = dict.fromkeys(request.subject.get_attributes_for_oid(oid))
        if held:
            parts.append(x509.RelativeDistinguishedName(list(held)[-1:] if single else held))
    return x509.Name(parts)


def alternative_names(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    """The subject alternative names asked for that are certified: of the kinds that are checked; None for none."""
    try:
        held = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    names = [name for kind, _ in _SANS for name in held if isinstance(name, kind)]
    return x509.SubjectAlternativeName(names) if names else None


def check(signer: str, request: x509.CertificateSigningRequest, usages: Iterable[str]) -> None:
    """Raises RefusedRequest for what the signer does not issue."""
    asked = set(usages)
    if signer == KUBELET_CLIENT:
        _check_organization(request)
        for kind, label in _SANS:
            if _holds(request, kind):
                raise RefusedRequest(f"{label} subjectAltNames are not allowed")
        _check_common_name(request)
        _check_usages(asked, "client auth")
    elif signer == KUBELET_SERVING:
        _check_organization(request)
        if not _holds(request, x509.DNSName) and not _holds(request, x509.IPAddress):
            raise RefusedRequest("DNS or IP subjectAltName is required")
        for kind, label in (_SANS[1], _SANS[3]):
            if _holds(request, kind):
                raise RefusedRequest(f"{label} subjectAltNames are not allowed")
        _check_usages(asked, "server auth")
        _check_common_name(request)
    elif signer == CLIENT:
        for usage in usages:
            if usage != "client auth" and usage not in _OPTIONAL:
                raise RefusedRequest(f"invalid usage for client certificate: {usage}")
        if "client auth" not in asked:
            raise RefusedRequest("missing required usage for client certificate: client auth")


def _check_organization(request: x509.CertificateSigningRequest) -> None:
    if words(request.subject, x509.NameOID.ORGANIZATION_NAME) != _NODES:
        raise RefusedRequest("subject organization is not system:nodes")


def _check_common_name(request: x509.CertificateSigningRequest) -> None:
    if not common_name(request).startswith(_NODE_PREFIX):
        raise RefusedRequest("subject common name does not begin with system:node:")


def _check_usages(asked: set[str], purpose: str) -> None:
    wanted = {"digital signature", "key encipherment", purpose}
    if asked not in (wanted, wanted - {"key encipherment"}):
        raise RefusedRequest(f"usages did not match [{' '.join(sorted(wanted))}]")


def _holds(request: x509.CertificateSigningRequest, kind: type[x509.GeneralName]) -> bool:
    names = alternative_names(request)
    return names is not None and any(isinstance(each, kind) for each in names)
