"""Claims become a user. Pure."""

from __future__ import annotations

from controlplane.apiserver.authn.certificates import CREDENTIAL_ID
from controlplane.apiserver.authn.oidc.claims import Claims, boolean, quoted, string, strings
from controlplane.apiserver.authn.oidc.configuration import JWTAuthenticator
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User, authenticated


def user_of(provider: JWTAuthenticator, claims: Claims) -> User:
    """Whom verified claims name. Raises TokenError for claims that name nobody, or not as the configuration wants."""
    name, groups = _username(provider, claims), _groups(provider, claims)
    for rule in provider.claim_rules:
        _require(rule.claim, rule.required_value, claims)
    identity = claims.get("jti")
    extra = {CREDENTIAL_ID: (f"JTI={identity}",)} if identity and isinstance(identity, str) else {}
    return authenticated(name, groups, extra=extra)


def _username(provider: JWTAuthenticator, claims: Claims) -> str:
    mapping = provider.username
    try:
        name = string(_claim(claims, mapping.claim))
    except TokenError as error:
        raise TokenError(f"oidc: parse username claims {quoted(mapping.claim)}: {error}") from None
    if mapping.claim == "email" and "email_verified" in claims:
        try:
            verified = boolean(claims["email_verified"])
        except TokenError as error:
            raise TokenError(f"oidc: parse 'email_verified' claim: {error}") from None
        if not verified:
            raise TokenError("oidc: email not verified")
    return f"{mapping.prefix or ''}{name}"


def _groups(provider: JWTAuthenticator, claims: Claims) -> tuple[str, ...]:
    mapping = provider.groups
    if not mapping.claim or mapping.claim not in claims:
        return ()
    try:
        named = strings(claims[mapping.claim])
    except TokenError as error:
        raise TokenError(f"oidc: parse groups claim {quoted(mapping.claim)}: {error}") from None
    return tuple(f"{mapping.prefix or ''}{group}" for group in named)


def _require(name: str, value: str, claims: Claims) -> None:
    if name not in claims:
        raise TokenError(f"oidc: required claim {name} not present in ID token")
    try:
        said = string(claims[name])
    except TokenError as error:
        raise TokenError(f"oidc: parse claim {name}: {error}") from None
    if said != value:
        raise TokenError(f"oidc: required claim {name} value does not match. Got = {said}, want = {value}")


def _claim(claims: Claims, name: str) -> object:
    if name not in claims:
        raise TokenError("claim not present")
    return claims[name]
