"""What is known of a provider and how its tokens become users: apiserver.config.k8s.io's JWTAuthenticator, which the
flags --oidc-* spell too."""

from __future__ import annotations

from msgspec import Struct

DEFAULT_ALGORITHMS = ("RS256",)


class Issuer(Struct, frozen=True):
    """Whose tokens, and for whom. certificate_authority: PEM; "" for the machine's authorities."""

    url: str
    audiences: tuple[str, ...] = ()
    discovery_url: str = ""
    certificate_authority: str = ""
    audience_match_policy: str = ""


class Mapping(Struct, frozen=True):
    """One attribute of the user: a claim with a prefix. prefix: None when none was given, which is not ""."""

    claim: str = ""
    prefix: str | None = None


class ClaimRule(Struct, frozen=True):
    """What a token must say."""

    claim: str = ""
    required_value: str = ""


class JWTAuthenticator(Struct, frozen=True):
    """One provider."""

    issuer: Issuer
    username: Mapping = Mapping()
    groups: Mapping = Mapping()
    claim_rules: tuple[ClaimRule, ...] = ()
