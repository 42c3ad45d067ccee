"""CertificateSigningRequests (pkg/apis/certificates/validation)."""

from typing import Any

from apimachinery.api.validation.checks import Object, same
from apimachinery.api.validation.difference import difference
from apimachinery.api.validation.go_values import go_bytes
from apimachinery.api.validation.pem_blocks import certificate_error, request_error
from apimachinery.meta import names
from apimachinery.meta.paths import (
    Path,
    Problem,
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


def signing_request(obj: Object, old: Object | None = None) -> list[Problem]:
    """A request that is signed, usages, a signer; conditions that do not contradict each other.

    old: what it was. Most of what was wrong already may stay wrong.
    """
    spec, held = obj.get("spec") or {}, (old or {}).get("spec") or {}
    problems: list[Problem] = []
    if wrong := request_error(spec.get("request") or ""):
        problems.append(invalid(_SPEC.child("request"), go_bytes(spec.get("request")), wrong))
    usages, path = spec.get("usages") or [], _SPEC.child("usages")
    if not usages:
        problems.append(required(path, "usages must be provided"))
    if not _unknown(held.get("usages") or []):
        problems += [not_supported(path.index(position), usages[position], _USAGES) for position in _unknown(usages)]
    if not _again(held.get("usages") or []):
        problems += [duplicate(path.index(position), usages[position]) for position in _again(usages)]
    signer, path = spec.get("signerName") or "", _SPEC.child("signerName")
    if signer == _LEGACY and held.get("signerName") != _LEGACY:
        problems.append(invalid(path, signer, "the legacy signerName is not allowed via this API version"))
    else:
        problems += signer_name(signer, path)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        problems.append(invalid(_SPEC.child("expirationSeconds"), seconds, text))
    problems += _conditions(_of(obj, "conditions") or [], _of(old, "conditions") or [])
    issued, before = _of(obj, "certificate") or "", _of(old, "certificate") or ""
    if (old is None or issued != before) and not certificate_error(before) and (wrong := certificate_error(issued)):
        problems.append(invalid(_CERTIFICATE, "<certificate data>", wrong))
    return problems


def signing_request_update(new: Object, old: Object) -> list[Problem]:
    """An update of the object: neither approval nor certificate change."""
    return signing_request(new, old) + _kept(new, old) + _approval_kept(new, old) + _certificate_kept(new, old)


def signing_request_status(new: Object, old: Object) -> list[Problem]:
    """An update of the status: the certificate is set once."""
    problems = signing_request(new, old) + _kept(new, old) + _approval_kept(new, old)
    before = _of(old, "certificate")
    if before and (_of(new, "certificate") or "") != before:
        problems.append(forbidden(_CERTIFICATE, "updates may not modify existing certificate content"))
    return problems


def signing_request_approval(new: Object, old: Object) -> list[Problem]:
    """An update of the approval: no certificate."""
    return signing_request(new, old) + _kept(new, old) + _certificate_kept(new, old)


def signer_name(text: str, path: Path) -> list[Problem]:
    """A domain of at least two segments and a path: example.com/signer-name."""
    if not text:
        return [required(path)]
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


def _conditions(found: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[str] = set()
    held = [each.get("type", "") for each in old]
    both, repeated = {"Approved", "Denied"} <= set(held), bool(_again(held))
    for position, condition in enumerate(found):
        where, kind, state = _CONDITIONS.index(position), condition.get("type", ""), condition.get("status", "")
        if not kind and "" not in held:
            problems.append(required(where.child("type")))
        allowed = ("True",) if kind in _FINAL else _STATUSES
        if not state:
            problems.append(required(where.child("status")))
        elif state not in allowed:
            problems.append(not_supported(where.child("status"), state, allowed))
        opposite = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if opposite in seen and not both:
            text = "Approved and Denied conditions are mutually exclusive"
            problems.append(invalid(where.child("type"), kind, text))
        if kind in seen and not repeated:
            problems.append(duplicate(where.child("type"), kind))
        seen.add(kind)
    return problems


def _unknown(usages: list[str]) -> list[int]:
    return [position for position, usage in enumerate(usages) if usage not in _USAGES]


def _again(values: list[str]) -> list[int]:
    first: dict[str, int] = {}
    return [position for position, value in enumerate(values) if first.setdefault(value, position) != position]


def _of(obj: Object | None, field: str) -> Any:
    return ((obj or {}).get("status") or {}).get(field)


def _of_kind(obj: Object, kind: str) -> list[Any]:
    return [each for each in _of(obj, "conditions") or () if each.get("type") == kind]


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
            text = f'updates may not modify a condition of type "{kind}"\n{difference(before, after)}'
            problems.append(forbidden(_CONDITIONS, text))
    return problems


def _certificate_kept(new: Object, old: Object) -> list[Problem]:
    after, before = (_of(each, "certificate") or "" for each in (new, old))
    return [] if after == before else [forbidden(_CERTIFICATE, "updates may not set certificate content")]
