"""CertificateSigningRequests (pkg/apis/certificates/validation)."""

from base64 import b64decode
from typing import Any

from apimachinery.api.validation.checks import Object, same
from apimachinery.meta import names
from apimachinery.meta.paths import (
    Path,
    Problem,
    Verbatim,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)

_SPEC = Path("spec")
_CONDITIONS = Path("status.conditions")
_CERTIFICATE = Path("status.certificate")
_LEGACY = "kubernetes.io/legacy-unknown"
_FINAL = ("Approved", "Denied", "Failed")
_STATUSES = ("False", "True", "Unknown")
_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)


def signing_request(obj: Object) -> list[Problem]:
    """A request that is signed, usages, a signer; conditions that do not contradict each other."""
    spec = obj.get("spec") or {}
    problems: list[Problem] = []
    if wrong := _request_error(spec.get("request") or ""):
        problems.append(invalid(_SPEC.child("request"), _bytes(spec.get("request")), wrong))
    usages, path = spec.get("usages") or [], _SPEC.child("usages")
    if not usages:
        problems.append(required(path, "usages must be provided"))
    problems += [
        not_supported(path.index(position), usage, _USAGES)
        for position, usage in enumerate(usages)
        if usage not in _USAGES
    ]
    problems += [
        duplicate(path.index(position), usage) for position, usage in enumerate(usages) if usage in usages[:position]
    ]
    signer, path = spec.get("signerName") or "", _SPEC.child("signerName")
    if signer == _LEGACY:
        problems.append(invalid(path, signer, "the legacy signerName is not allowed via this API version"))
    else:
        problems += signer_name(signer, path)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        problems.append(invalid(_SPEC.child("expirationSeconds"), seconds, text))
    status = obj.get("status") or {}
    problems += _conditions(status.get("conditions") or [])
    if wrong := _certificate_error(status.get("certificate") or ""):
        problems.append(invalid(_CERTIFICATE, "<certificate data>", wrong))
    return problems


def signing_request_update(new: Object, old: Object) -> list[Problem]:
    """An update of the object: neither approval nor certificate change."""
    return _kept(new, old) + _approval_kept(new, old) + _certificate_kept(new, old)


def signing_request_status(new: Object, old: Object) -> list[Problem]:
    """An update of the status: the certificate is set once."""
    problems = signing_request(new) + _kept(new, old) + _approval_kept(new, old)
    before = (old.get("status") or {}).get("certificate")
    if before and (new.get("status") or {}).get("certificate") != before:
        problems.append(forbidden(_CERTIFICATE, "updates may not modify existing certificate content"))
    return problems


def signing_request_approval(new: Object, old: Object) -> list[Problem]:
    """An update of the approval: no certificate."""
    return signing_request(new) + _kept(new, old) + _certificate_kept(new, old)


def signer_name(text: str, path: Path) -> list[Problem]:
    """A domain of at least two segments and a path: example.com/signer-name."""
    if not text:
        return [required(path, "signerName must be provided")]
    parts = text.split("/")
    if len(parts) != 2:
        form = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(path, text, form)]
    domain, below = parts
    problems = [too_long(path, 253)] if len(domain.encode()) > 253 else []
    problems += _labels(domain, names.dns1123_label, path)
    if "." not in domain:
        problems.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    problems += _labels(below, names.dns1123_subdomain, path)
    if len(text.encode()) > 253 + 317 + 1:
        problems.append(too_long(path, 253 + 317 + 1))
    return problems


def _labels(text: str, check: Any, path: Path) -> list[Problem]:
    for label in text.split("."):
        if wrong := check(label):
            return [invalid(path, text, f'validating label "{label}": {each}') for each in wrong]
    return []


def _conditions(found: list[dict[str, Any]]) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, condition in enumerate(found):
        where, kind, state = _CONDITIONS.index(position), condition.get("type", ""), condition.get("status", "")
        if not kind:
            problems.append(required(where.child("type")))
        allowed = ("True",) if kind in _FINAL else _STATUSES
        if not state:
            problems.append(required(where.child("status")))
        elif state not in allowed:
            problems.append(not_supported(where.child("status"), state, allowed))
        opposite = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if opposite in seen:
            text = "Approved and Denied conditions are mutually exclusive"
            problems.append(invalid(where.child("type"), kind, text))
        if kind in seen:
            problems.append(duplicate(where.child("type"), kind))
        seen.add(kind)
    return problems


def _of_kind(obj: Object, kind: str) -> list[Any]:
    return [each for each in (obj.get("status") or {}).get("conditions") or () if each.get("type") == kind]


def _kept(new: Object, old: Object) -> list[Problem]:
    return [
        forbidden(_CONDITIONS, f'updates may not remove a condition of type "{kind}"')
        for kind in _FINAL
        if len(_of_kind(new, kind)) < len(_of_kind(old, kind))
    ]


def _approval_kept(new: Object, old: Object) -> list[Problem]:
    problems: list[Problem] = []
    for kind in ("Approved", "Denied"):
        after, before = _of_kind(new, kind), _of_kind(old, kind)
        if len(after) > len(before):
            problems.append(forbidden(_CONDITIONS, f'updates may not add a condition of type "{kind}"'))
        elif len(after) == len(before) and not same(after, before):
            problems.append(forbidden(_CONDITIONS, f'updates may not modify a condition of type "{kind}"\n'))
    return problems


def _certificate_kept(new: Object, old: Object) -> list[Problem]:
    after, before = ((each.get("status") or {}).get("certificate") or "" for each in (new, old))
    return [] if after == before else [forbidden(_CERTIFICATE, "updates may not set certificate content")]


def _bytes(text: str | None) -> Verbatim:
    """A []byte as Go prints it."""
    if text is None:
        return Verbatim("[]byte(nil)")
    return Verbatim("[]byte{" + ", ".join(f"{byte:#x}" for byte in b64decode(text)) + "}")


def _request_error(text: str) -> str:
    pem = b64decode(text)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        return "PEM block type must be CERTIFICATE REQUEST"
    # 20 ms, for what few servers ever see
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        request = x509.load_pem_x509_csr(pem)
        return "" if request.is_signature_valid else "x509: signature check failed"
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        return str(error)


def _certificate_error(text: str) -> str:
    pem = b64decode(text)
    if not pem:
        return ""
    for line in pem.splitlines():
        if line.startswith(b"-----BEGIN ") and line != b"-----BEGIN CERTIFICATE-----":
            kind = line.removeprefix(b"-----BEGIN ").removesuffix(b"-----").decode(errors="replace")
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind}"'
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        return "must contain at least one CERTIFICATE PEM block"
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        return str(error)
    return ""
