"""What is wrong with the configuration of providers, in upstream's words
(k8s.io/apiserver/pkg/apis/apiserver/validation). Pure."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from apimachinery.meta.paths import Path, Problem, invalid, required
from controlplane.apiserver.authn.oidc.configuration import Issuer, JWTAuthenticator, Mapping


def validate(providers: Sequence[JWTAuthenticator], disallowed: Sequence[str]) -> list[Problem]:
    """Every problem. disallowed: issuers that are the server's own."""
    problems: list[Problem] = []
    for position, provider in enumerate(providers):
        where = Path("jwt").index(position)
        problems += _issuer(provider.issuer, disallowed, where.child("issuer"))
        problems += _mapping(provider.username, where.child("claimMappings", "username"), needed=True)
        problems += _mapping(provider.groups, where.child("claimMappings", "groups"), needed=False)
    return problems


def _issuer(issuer: Issuer, disallowed: Sequence[str], where: Path) -> list[Problem]:
    problems = _url(issuer.url, disallowed, where.child("url")) if issuer.url else [required(where.child("url"))]
    if issuer.certificate_authority and not _has_certificates(issuer.certificate_authority):
        detail = "data does not contain any valid RSA or ECDSA certificates"
        problems.append(invalid(where.child("certificateAuthority"), "<omitted>", detail))
    return problems


def _url(text: str, disallowed: Sequence[str], where: Path) -> list[Problem]:
    problems = []
    if text in disallowed:
        told = f"URL must not overlap with disallowed issuers: [{' '.join(sorted(disallowed))}]"
        problems.append(invalid(where, text, told))
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        return [*problems, invalid(where, text, f'parse "{text}": {error}')]
    if url.scheme != "https":
        problems.append(invalid(where, text, "URL scheme must be https"))
    if "@" in url.netloc:
        problems.append(invalid(where, text, "URL must not contain a username or password"))
    if url.query:
        problems.append(invalid(where, text, "URL must not contain a query"))
    if url.fragment:
        problems.append(invalid(where, text, "URL must not contain a fragment"))
    return problems


def _has_certificates(pem: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return False
    return bool(context.cert_store_stats()["x509"])


def _mapping(mapping: Mapping, where: Path, *, needed: bool) -> list[Problem]:
    if not mapping.claim:
        return [required(where, "claim or expression is required")] if needed else []
    if mapping.prefix is None:
        detail = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        return [required(where.child("prefix"), detail)]
    return []
