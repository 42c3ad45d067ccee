"""Claims become a user. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from controlplane.apiserver.authn.certificates import CREDENTIAL_ID
from controlplane.apiserver.authn.oidc.claims import Claims, boolean, quoted, string, strings
from controlplane.apiserver.authn.oidc.configuration import ClaimRule, JWTAuthenticator, UserRule
from controlplane.apiserver.authn.oidc.configuration import Mapping as Mapped
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User, authenticated

if TYPE_CHECKING:
    from controlplane.apiserver.cel import Program

Extra = dict[str, tuple[str, ...]]

_NO_STRINGS = "expression must return a string or a list of strings"


def user_of(provider: JWTAuthenticator, claims: Claims) -> User:
    """Whom verified claims name. Raises TokenError for claims that name nobody, or not as the configuration wants."""
    name, groups, uid = _username(provider.username, claims), _groups(provider, claims), _uid(provider.uid, claims)
    extra = _extra(provider, claims)
    for rule in provider.claim_rules:
        if rule.claim:
            _require(rule.claim, rule.required_value, claims)
    _check("claim validation expression", provider.claim_rules, "claims", claims)
    user = {"username": name, "uid": uid, "groups": list(groups), "extra": {key: list(extra[key]) for key in extra}}
    _check("user info validation rule", provider.user_rules, "user", user)
    return authenticated(name, groups, uid, extra)


def _username(mapping: Mapped, claims: Claims) -> str:
    if mapping.expression:
        found = _evaluated("username", mapping.expression, claims)
        if not isinstance(found, str):
            told = "username claim expression must return a string"
            raise TokenError(f"oidc: error evaluating username claim expression: {told}")
        if not found:
            raise TokenError("oidc: empty username via CEL expression is not allowed")
        return found
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
    if mapping.expression:
        try:
            return _strings(_evaluated("group", mapping.expression, claims))
        except ValueError as error:
            raise TokenError(f"oidc: error evaluating group claim expression: {error}") from None
    if not mapping.claim or mapping.claim not in claims:
        return ()
    try:
        named = strings(claims[mapping.claim])
    except TokenError as error:
        raise TokenError(f"oidc: parse groups claim {quoted(mapping.claim)}: {error}") from None
    return tuple(f"{mapping.prefix or ''}{group}" for group in named)


def _uid(mapping: Mapped, claims: Claims) -> str:
    if mapping.expression:
        found = _evaluated("uid", mapping.expression, claims)
        if not isinstance(found, str):
            told = "uid claim expression must return a string"
            raise TokenError(f"oidc: error evaluating uid claim expression: {told}")
        return found
    if not mapping.claim:
        return ""
    try:
        return string(_claim(claims, mapping.claim))
    except TokenError as error:
        raise TokenError(f"oidc: parse uid claim {quoted(mapping.claim)}: {error}") from None


def _extra(provider: JWTAuthenticator, claims: Claims) -> Extra:
    identity = claims.get("jti")
    found: Extra = {CREDENTIAL_ID: (f"JTI={identity}",)} if identity and isinstance(identity, str) else {}
    for mapping in provider.extra:
        value = _evaluate(_program(mapping.expression, "claims"), "claims", claims)
        try:
            words = _strings(value)
        except ValueError as error:
            told = f"{mapping.expression}: {error}"
            raise TokenError(f"oidc: error evaluating extra claim expression: {told}") from None
        if words:
            found[mapping.key] = words
    return found


def _check(what: str, rules: Sequence[ClaimRule | UserRule], variable: str, value: Any) -> None:
    for rule in rules:
        if not rule.expression:
            continue
        try:
            found = _evaluate(_program(rule.expression, variable, condition=True), variable, value)
            if not isinstance(found, bool):
                raise TokenError("validation expression must return a boolean")
            if not found:
                raise TokenError(f"validation expression '{rule.expression}' failed: {rule.message}")
        except TokenError as error:
            raise TokenError(f"oidc: error evaluating {what}: {error}") from None


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


def _strings(value: Any) -> tuple[str, ...]:
    """An expression's value as strings; those that are empty are not there. Raises ValueError."""
    if value is None or isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(_NO_STRINGS)
    return tuple(each for each in value if each)


def _evaluated(attribute: str, expression: str, claims: Claims) -> Any:
    try:
        return _evaluate(_program(expression, "claims"), "claims", claims)
    except TokenError as error:
        raise TokenError(f"oidc: error evaluating {attribute} claim expression: {error}") from None


def _program(text: str, variable: str, *, condition: bool = False) -> Program:
    from controlplane.apiserver.authn.oidc.expressions import compiled  # loads CEL

    return compiled(text, variable, condition=condition)


def _evaluate(program: Program, variable: str, value: Any) -> Any:
    from controlplane.apiserver.authn.oidc.expressions import evaluate

    return evaluate(program, {variable: value})
