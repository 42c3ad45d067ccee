"""What a token says, and whether it says it to us and now (OpenID Connect Core 1.0, section 3.1.3.7). Pure.

Refusals are those of github.com/coreos/go-oidc 2 and of Go's JSON decoder, as TokenReviews show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from msgspec import Struct

from apimachinery.kit.jwt import decode
from apimachinery.meta import go_print
from controlplane.apiserver.authn.tokens import TokenError

Claims = dict[str, Any]

_NOT_BEFORE_LEEWAY = 60.0
_GOOGLE, _GOOGLE_SHORT = "https://accounts.google.com", "accounts.google.com"
"""Google's tokens may leave the scheme out; nobody else's (OpenID Connect Core 1.0, section 15.6.2)."""
_KINDS: dict[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


class Token(Struct, frozen=True):
    """A token taken apart. Nothing of it is verified."""

    header: dict[str, Any]
    claims: Claims
    signed: bytes
    signature: bytes


def issuer_of(token: str) -> str:
    """Whose token it says it is, unverified; "" when that cannot be read."""
    try:
        _, body, _ = token.split(".")
        found = orjson.loads(decode(body))["iss"]
    except (ValueError, TypeError, KeyError):
        return ""
    if found == _GOOGLE_SHORT:
        return _GOOGLE
    return found if isinstance(found, str) else ""


def parse(token: str) -> Token:
    """Raises TokenError for what has not a token's form."""
    try:
        head, body, tail = token.split(".")
        header, claims, signature = orjson.loads(decode(head)), orjson.loads(decode(body)), decode(tail)
    except ValueError as error:
        raise TokenError(f"oidc: malformed jwt: {error}") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise TokenError("oidc: malformed jwt: neither header nor claims may be anything but an object")
    if "crit" in header:  # RFC 7515, section 4.1.11: what is not understood must be refused, and nothing is
        raise TokenError("oidc: malformed jwt: unsupported crit header")
    return Token(header, claims, f"{head}.{body}".encode(), signature)


def check(token: Token, issuer: str, audiences: Sequence[str], algorithms: Sequence[str], now: float) -> None:
    """Everything but the signature. now: seconds since the epoch. Raises TokenError."""
    claims = token.claims
    _check_sources(claims)
    said = claims.get("iss")
    if said != issuer and not (issuer == _GOOGLE and said == _GOOGLE_SHORT):
        told = f"expected {quoted(issuer)} got {quoted(said)}"
        raise TokenError(f"oidc: id token issued by a different provider, {told}")
    meant = _audience(claims.get("aud"))
    if not set(meant) & set(audiences):
        wanted = quoted(audiences[0]) if len(audiences) == 1 else f"in {go_print.quoted_all(sorted(audiences))}"
        raise TokenError(f"oidc: expected audience {wanted} got {go_print.quoted_all(meant)}")
    expires, begins = _seconds(claims.get("exp")), _seconds(claims.get("nbf"))
    if expires is None or expires < now:
        shown = "0001-01-01 00:00:00 +0000 UTC" if expires is None else _shown(expires)
        raise TokenError(f"oidc: token is expired (Token Expiry: {shown})")
    if begins is not None and now + _NOT_BEFORE_LEEWAY < begins:
        told = f"current time {_shown(now)} before the nbf (not before) time: {_shown(begins)}"
        raise TokenError(f"oidc: {told}")
    algorithm = token.header.get("alg")
    if algorithm not in algorithms:
        told = f"expected {go_print.quoted_all(algorithms)} got {quoted(algorithm)}"
        raise TokenError(f"oidc: id token signed with unsupported algorithm, {told}")


def source_of(claims: Claims, claim: str) -> tuple[str, str] | None:
    """Endpoint and access token (or "") by which a claim is told that checked claims do not hold; None when none is
    named (an aggregated claim is not read, as upstream)."""
    source = (claims.get("_claim_names") or {}).get(claim)
    if source is None:
        return None
    told = claims["_claim_sources"][source] or {}
    return (told["endpoint"], told.get("access_token") or "") if told.get("endpoint") else None


def _check_sources(claims: Claims) -> None:
    """Section 5.6.2, as far as it is about form."""
    names, sources = claims.get("_claim_names") or {}, claims.get("_claim_sources") or {}
    try:
        for each in (names, sources):
            if not isinstance(each, dict):
                raise TokenError(f"json: cannot unmarshal {_kind(each)} into Go value of type map[string]string")
        for told in sources.values():
            if not isinstance(told, dict | None):
                raise TokenError(f"json: cannot unmarshal {_kind(told)} into Go value of type oidc.claimSource")
            for member in ("endpoint", "access_token"):
                string((told or {}).get(member))
        named = [string(source) for source in names.values()]
    except TokenError as error:
        raise TokenError(f"oidc: failed to unmarshal claims: {error}") from None
    if "" in named:
        raise TokenError("oidc: failed to obtain source from claim name")
    if not set(named) <= sources.keys():
        raise TokenError("oidc: source does not exist")


def string(value: Any) -> str:
    """A claim that is a string; null is the empty one. Raises TokenError in the words of Go's decoder."""
    if value is None or isinstance(value, str):
        return value or ""
    raise TokenError(f"json: cannot unmarshal {_kind(value)} into Go value of type string")


def boolean(value: Any) -> bool:
    """A claim that is true or false; null is false. Raises TokenError in the words of Go's decoder."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise TokenError(f"json: cannot unmarshal {_kind(value)} into Go value of type bool")


def strings(value: Any) -> tuple[str, ...]:
    """A claim that is a string or a list of strings. Raises TokenError."""
    if isinstance(value, list) and all(each is None or isinstance(each, str) for each in value):
        return tuple(each or "" for each in value)
    return () if value is None else (string(value),)


def quoted(value: Any) -> str:
    """As Go shows a string; what is none, as an empty one."""
    return go_print.quoted(value if isinstance(value, str) else "")


def _audience(value: Any) -> tuple[str, ...]:
    try:
        return strings(value)
    except TokenError as error:
        raise TokenError(f"oidc: failed to unmarshal claims: {error}") from None


def _seconds(value: Any) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise TokenError(f"oidc: failed to unmarshal claims: json: cannot unmarshal {_kind(value)} into a number")


def _shown(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%S} +0000 UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")
