"""What is known of providers and how their tokens become users: AuthenticationConfiguration of apiserver.config.k8s.io,
whose JWTAuthenticator the flags --oidc-* spell too."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Issuer(Struct, frozen=True):
    """Whose tokens, and for whom. discovery_url: where the discovery document is, if not below `url`.
    certificate_authority: PEM; "" for the machine's authorities."""

    url: str = ""
    audiences: tuple[str, ...] = ()
    discovery_url: str = ""
    certificate_authority: str = ""
    audience_match_policy: str = ""


class Mapping(Struct, frozen=True):
    """One attribute of the user: a claim with a prefix, or an expression. prefix: None when none was given, which is
    not ""."""

    claim: str = ""
    prefix: str | None = None
    expression: str = ""


class ExtraMapping(Struct, frozen=True):
    """One key of the user's extra."""

    key: str = ""
    expression: str = ""


class ClaimRule(Struct, frozen=True):
    """What a token must say: a claim's value, or what makes an expression true. message: told when it does not."""

    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


class UserRule(Struct, frozen=True):
    """What must be true of the user that claims made."""

    expression: str = ""
    message: str = ""


class JWTAuthenticator(Struct, frozen=True):
    """One provider."""

    issuer: Issuer
    username: Mapping = Mapping()
    groups: Mapping = Mapping()
    uid: Mapping = Mapping()
    extra: tuple[ExtraMapping, ...] = ()
    claim_rules: tuple[ClaimRule, ...] = ()
    user_rules: tuple[UserRule, ...] = ()


class Anonymous(Struct, frozen=True):
    """Who shows no credentials. paths: where that is let in; everywhere when there are none."""

    enabled: bool = False
    paths: tuple[str, ...] = ()


class AuthenticationConfiguration(Struct, frozen=True):
    """A file's content. anonymous: None when it says nothing of it."""

    jwt: tuple[JWTAuthenticator, ...] = ()
    anonymous: Anonymous | None = None


class AuthenticationFile(Struct, frozen=True):
    """--authentication-config, as it was at the start. own_issuers: of service accounts, which are no providers."""

    path: Path
    data: bytes
    anonymous: Anonymous | None
    own_issuers: tuple[str, ...]


class Providers(Struct, frozen=True):
    """All providers, what their tokens may be signed with, and the file that may name others later."""

    jwt: tuple[JWTAuthenticator, ...]
    algorithms: tuple[str, ...]
    file: AuthenticationFile | None = None
